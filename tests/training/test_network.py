"""The net in PyTorch says what the converted graph says, for every model that came."""

import cv2
import numpy as np
import pytest
import torch

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.runtime import load_runtime
from imagebase.errors import ModelLoadError
from imagebase.settings import SAMPLES_FOLDER, WEIGHTS_FOLDER
from imagebase.training.network import DarknetModule, module_of
from tests.detection.darknet.darknet_models import net_cfg

MODELS = ("yolov4-tiny", "yolo-fastest-1.1", "yolo-fastest-1.1-xl")


@pytest.mark.parametrize("name", MODELS)
def test_raw_heads_equal_the_converted_graph(name: str) -> None:
    folder = WEIGHTS_FOLDER / name
    cfg, weights = (
        (folder / "obj.cfg").read_bytes(),
        (folder / "obj.weights").read_bytes(),
    )
    module = module_of(cfg, weights).eval()
    size = module.network.size
    picture = cv2.imread(str(SAMPLES_FOLDER / "street.jpg"))
    assert picture is not None
    blob = cv2.resize(picture[..., ::-1], size).astype(np.float32).transpose(2, 0, 1)
    blob = np.ascontiguousarray(blob[None] / 255)
    names = [head.name for head in module.network.heads]
    runtime = load_runtime(
        darknet_to_onnx(cfg, weights),
        outputs=names,
        runtime="openvino",
        precision="f32",
    )
    with torch.inference_mode():
        ours = module(torch.from_numpy(blob))
    for found, expected in zip(ours, runtime.run(blob), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (2, 1), (3, 1), (3, 2), (5, 1)])
def test_pooling_pads_as_darknet_does(side: int, size: int, stride: int) -> None:
    cfg = net_cfg(
        f"[maxpool]\nsize={size}\nstride={stride}\n"
        "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n",
        width=side,
        height=side,
    )
    network = plan_network(parse_cfg(cfg), input_size=None)
    module = DarknetModule(network)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=6 + 18).astype(np.float32)
    onnx = darknet_to_onnx(
        cfg, b"\0\0\0\0\2\0\0\0\5\0\0\0" + bytes(8) + weights.tobytes()
    )
    from imagebase.training.network import load_weights

    load_weights(module, b"\0\0\0\0\2\0\0\0\5\0\0\0" + bytes(8) + weights.tobytes())
    blob = rng.normal(size=(1, 3, side, side)).astype(np.float32)
    runtime = load_runtime(
        onnx, outputs=[network.heads[0].name], runtime="openvino", precision="f32"
    )
    with torch.inference_mode():
        (found,) = module(torch.from_numpy(blob))
    np.testing.assert_allclose(found.numpy(), runtime.run(blob)[0], atol=1e-5)


def test_errors_name_the_layer_that_cannot_be_trained() -> None:
    cfg = net_cfg(
        "[convolutional]\nfilters=4\n[reorg]\nstride=2\n[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"
    )
    network = plan_network(parse_cfg(cfg), input_size=None)
    with pytest.raises(ModelLoadError, match="reorg"):
        DarknetModule(network)
