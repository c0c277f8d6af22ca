import pytest

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import MAX_CFG_BYTES, parse_cfg
from imagebase.detection.darknet.layers import LayerShape, Network
from imagebase.detection.darknet.plan import plan_network
from imagebase.errors import ModelLoadError
from tests.detection.darknet.darknet_models import ONE_BOX_CFG

CFG = ONE_BOX_CFG.lstrip()


def plan(cfg: str | bytes, *, input_size: int | None = None) -> Network:
    content = cfg if isinstance(cfg, bytes) else cfg.encode()
    return plan_network(parse_cfg(content), input_size=input_size)


def with_layer(layer: str) -> str:
    """Return the cfg with a layer at line 6, before its convolution."""
    return CFG.replace("[convolutional]", f"{layer}\n[convolutional]", 1)


@pytest.mark.parametrize(
    "cfg",
    [
        pytest.param(CFG.replace("\n", "\r\n"), id="CRLF"),
        pytest.param("\ufeff" + CFG, id="byte order mark"),
        pytest.param(
            "# by hand\n\n" + CFG.replace("[y", "; head\n\n[y"), id="comments"
        ),
        pytest.param(CFG.replace("=", " = "), id="blanks"),
        pytest.param(CFG.replace("stride=32", "stride=32 # cells"), id="trailing"),
        pytest.param(CFG.replace("classes=2", "classes=2\nclasses=3"), id="twice"),
        pytest.param(CFG.replace("[net]", "[network]"), id="network"),
        pytest.param(CFG.replace("[convolutional]", "[conv]"), id="short name"),
    ],
)
def test_cfg_as_people_write_it_is_read(cfg: str) -> None:
    network = plan(cfg)
    assert network.size == Size(32, 32)
    assert [layer.shape for layer in network.layers] == [LayerShape(7, 1, 1)] * 2
    assert network.heads[0].anchors == ((16, 8),)


MALFORMED = {
    "empty": ("", "does not begin with"),
    "an image": (b"\xff\xd8\xff\xe0 JFIF", "line 1: expected a"),
    "no net": (CFG.replace("[net]", "[data]"), "does not begin with"),
    "an option first": ("width=3\n" + CFG, "line 1: expected a"),
    "open bracket": (CFG.replace("[yolo]", "[yolo"), "line 12: .* is not a section"),
    "unknown layer": (with_layer("[crnn]"), r"line 6: \[crnn\] is not supp"),
    "no width": (CFG.replace("width=32\n", ""), r"line 1: \[net\] needs width="),
    "wide": (CFG.replace("width=32", "width=99999"), "line 2: .* above 4096"),
    "grey": (CFG.replace("channels=3", "channels=1"), "line 4: channels=1, only 3"),
    "words": (
        CFG.replace("filters=7", "filters=x"),
        "line 7: filters=x is not a whole",
    ),
    "minus": (CFG.replace("filters=7", "filters=-7"), "line 7: filters=-7 is below 1"),
    "activation": (CFG.replace("=linear", "=selu"), "line 10: activation=selu is not"),
    "groups": (CFG.replace("size=32", "groups=2"), "line 8: groups=2 does not divide"),
    "binary": (CFG.replace("size=32", "xnor=1"), r"line 8: xnor= in \[convol"),
    "kernel": (CFG.replace("size=32", "size=999"), "line 8: size=999 is above"),
    "padding": (CFG.replace("size=32", "padding=9999"), "line 8: a padding of 9999"),
    "route to nowhere": (with_layer("[route]\nlayers=-1"), "line 7: layers=-1: there"),
    "route to itself": (with_layer("[route]\nlayers=0"), "line 7: layers=0: there is"),
    "route of nothing": (with_layer("[route]"), r"line 6: \[route\] needs layers="),
    "part of a route": (
        CFG.replace("[yolo]", "[route]\nlayers=-1\ngroups=2\n[yolo]"),
        "line 14: there is no part 0 of 2",
    ),
    "route of two sizes": (
        with_layer("[maxpool]\nsize=2\nstride=2\n[maxpool]\nstride=2\n").replace(
            "[convolutional]", "[route]\nlayers=-1,-2\n[convolutional]"
        ),
        "joins layers of different sizes: 8×8, 16×16",
    ),
    "weighted shortcut": (
        with_layer("[maxpool]\n[shortcut]\nfrom=-1\nweights_type=per_cell"),
        "line 9: weights_type=per_cell is not",
    ),
    "normalized shortcut": (
        with_layer("[maxpool]\n[shortcut]\nfrom=-1\nweights_normalization=max"),
        "line 9: weights_normalization=max is not",
    ),
    "attention of another size": (
        with_layer("[maxpool]\nsize=1\n[maxpool]\nsize=2\nstride=2\n[sam]\nfrom=0"),
        r"line 12: \[sam\] multiplies 32×32×3 by 16×16×3",
    ),
    "scale of no cell": (
        with_layer("[maxpool]\nsize=1\n[maxpool]\nsize=1\n[scale_channels]\nfrom=0"),
        r"line 11: \[scale_channels\] scales 32×32×3 by 32×32×3",
    ),
    "scale from two": (
        with_layer("[maxpool]\n[avgpool]\n[scale_channels]\nfrom=0,0"),
        "line 9: from= names one layer",
    ),
    "gaussian": (CFG.replace("[yolo]", "[Gaussian_yolo]"), "need filters=11 .* has 7"),
    "gaussian corner": (
        CFG.replace("[yolo]", "[Gaussian_yolo]\nyolo_point=left_top"),
        "line 13: yolo_point=left_top is not",
    ),
    "maxpool": (with_layer("[maxpool]\nsize=2\npadding=3"), "padding=3 is not poss"),
    "reorg": (with_layer("[reorg]\nstride=2"), "line 7: .* does not fit 32×32×3"),
    "upsampled to absurdity": (
        with_layer("[upsample]\nstride=4096"),
        "line 6: .* values in this layer, at most",
    ),
    "more filters than memory": (
        CFG.replace("filters=7", "filters=999999999"),
        "line 6: 999999999 channels, at most",
    ),
    "shrunk to nothing": (
        CFG.replace("width=32", "width=31"),
        "nothing is left of the image",
    ),
    "many layers": (CFG + "[dropout]\n" * 1001, "1003 layers; at most 1000"),
    "huge text": (CFG.encode() + b"#" * MAX_CFG_BYTES, "a Darknet cfg has at most"),
    "no head": (CFG.partition("[yolo]")[0], r"line 1: .* no \[yolo\] or \[region\]"),
    "classes": (CFG.replace("classes=2", "classes=3"), "need filters=8 .* has 7"),
    "mask": (CFG.replace("mask=0", "mask=1"), "line 13: mask= names no anchor of 1"),
    "anchors": (CFG.replace("=16,8", "=16"), "line 14: anchors= needs 1 pairs"),
    "anchor words": (CFG.replace("=16,8", "=a,8"), "line 14: anchors=a is not a num"),
    "anchor nan": (CFG.replace("=16,8", "=nan,8"), "line 14: .* out of range"),
    "region": (CFG.replace("[yolo]", "[region]"), "with softmax=1 and coords=4"),
    "tree": (
        CFG.replace("[yolo]", "[region]\ntree=9k.tree"),
        r"line 13: tree= in \[region\] is not supported",
    ),
}


@pytest.mark.parametrize(("cfg", "message"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_cfg_is_refused_with_its_line(cfg: str | bytes, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        plan(cfg)


def test_input_size_replaces_width_and_height() -> None:
    network = plan(CFG, input_size=64)
    assert network.size == Size(64, 64)
    assert network.layers[-1].shape == LayerShape(7, 2, 2)
