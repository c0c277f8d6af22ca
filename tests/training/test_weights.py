"""Darknet's weights, in and out."""

import struct

import pytest

from imagebase.errors import ModelLoadError
from imagebase.settings import WEIGHTS_FOLDER
from imagebase.training.darknet_cfg import first_layers
from imagebase.training.network import dump_weights, load_weights, module_of


@pytest.mark.parametrize(
    "name", ["yolov4-tiny", "yolo-fastest-1.1", "yolo-fastest-1.1-xl"]
)
def test_weights_survive_a_round_trip(name: str) -> None:
    folder = WEIGHTS_FOLDER / name
    weights = (folder / "obj.weights").read_bytes()
    module = module_of((folder / "obj.cfg").read_bytes(), weights)
    seen = load_weights(module, weights)
    written = dump_weights(module, seen=seen)
    assert written[20:] == weights[20:]
    assert struct.unpack("<3iq", written[:20]) == (0, 2, 5, seen)
    if name == "yolov4-tiny":
        assert written == weights
        assert sum(p.numel() for p in module.parameters()) == 6_056_606


def test_first_29_layers_are_cut_like_darknet_partial(
    base_files: tuple[bytes, bytes],
) -> None:
    cfg, weights = base_files
    module = module_of(cfg, weights)
    seen = load_weights(module, weights)
    cut = first_layers(cfg, weights)
    assert cut == dump_weights(module, seen=seen, layers=29)
    # The size of yolov4-tiny.conv.29 as Darknet's users know it.
    assert len(cut) == 19_789_716


def test_weights_of_another_network_are_refused(
    base_files: tuple[bytes, bytes],
) -> None:
    cfg, weights = base_files
    with pytest.raises(ModelLoadError, match="do not belong"):
        module_of(cfg, weights[:-4])
    with pytest.raises(ModelLoadError, match="do not belong"):
        first_layers(cfg, weights[:-4])
