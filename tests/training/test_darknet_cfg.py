"""The cfg of a net for other labels."""

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.plan import plan_network
from imagebase.training.darknet_cfg import cfg_for

ANCHORS = [
    (8.0, 9.0),
    (20.0, 22.0),
    (40.0, 50.0),
    (80.0, 80.0),
    (99.0, 9.0),
    (200.0, 210.5),
]


def test_heads_fit_the_labels_and_the_rest_stays(
    base_files: tuple[bytes, bytes],
) -> None:
    before = base_files[0].decode()
    after = cfg_for(before, classes=3, input_size=Size(320, 320))
    network = plan_network(parse_cfg(after.encode()), input_size=None)
    assert network.size == (320, 320)
    assert [head.classes for head in network.heads] == [3, 3]
    assert [head.mask for head in network.heads] == [(3, 4, 5), (1, 2, 3)]
    gone = set(before.splitlines()) - set(after.splitlines())
    assert {line.partition("=")[0].strip() for line in gone} <= {
        *("width", "height", "filters", "classes", "batch"),
    }
    assert after.count("thresh=0.001") == 2
    assert after.count("iou_thresh=0.213") == 2


def test_large_anchors_go_to_the_coarse_head(
    base_files: tuple[bytes, bytes],
) -> None:
    text = cfg_for(
        base_files[0].decode(), classes=1, input_size=Size(416, 416), anchors=ANCHORS
    )
    heads = plan_network(parse_cfg(text.encode()), input_size=None).heads
    assert [head.mask for head in heads] == [(3, 4, 5), (0, 1, 2)]
    assert heads[0].anchors == tuple(ANCHORS)
