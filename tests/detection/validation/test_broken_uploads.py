"""A table of broken uploads, and the sentence that each gets."""

import io
import pickle
import zipfile
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper

from imagebase.detection.validation import Level, validate_upload
from imagebase.settings import Limits
from tests.detection.darknet.darknet_models import HEADER, ONE_BOX_CFG, one_box_weights
from tests.detection.onnx.onnx_graphs import (
    CELLS,
    speaking_model,
    v8_output,
    yolox_output,
)
from tests.detection.onnx.test_onnx_models import onnx_model

CFG = ONE_BOX_CFG.encode()
# A last number that is not 0, as a real file has it.
WEIGHTS = one_box_weights()[:-4] + np.float32(1e-20).tobytes()
NAMES = b"cat\ndog\n"
MORE_THAN_ALLOWED = Limits().max_model_bytes + 1

Files = Sequence[tuple[str, bytes]]


def darknet(
    *, cfg: bytes = CFG, weights: bytes = WEIGHTS, names: bytes = NAMES
) -> Files:
    return [("obj.cfg", cfg), ("obj.weights", weights), ("obj.names", names)]


def changed(old: str, new: str) -> bytes:
    assert old in ONE_BOX_CFG
    return ONE_BOX_CFG.replace(old, new).encode()


def zipped(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def two_headed(second_classes: int) -> bytes:
    filters = 5 + second_classes
    second = f"""
[route]
layers=-2

[convolutional]
filters={filters}
size=1
activation=linear

[yolo]
mask=0
anchors=8,8
classes={second_classes}
num=1
"""
    return (ONE_BOX_CFG + second).encode()


def learning_model() -> bytes:
    """A graph whose batch norm still learns, as an export for training has it."""
    names = ["scale", "bias", "mean", "variance"]
    three = [1.0] * 3
    ones = [helper.make_tensor(n, TensorProto.FLOAT, [3], three) for n in names]
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 96])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, CELLS])
    node = helper.make_node(
        "BatchNormalization", ["images", *names], ["output0"], training_mode=1
    )
    model = helper.make_model(
        helper.make_graph([node], "g", [picture], [output], initializer=ones)
    )
    return bytes(model.SerializeToString())


def half_model() -> bytes:
    picture = helper.make_tensor_value_info(
        "images", TensorProto.FLOAT16, [1, 3, 64, 96]
    )
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, CELLS])
    node = helper.make_node("Identity", ["images"], ["output0"])
    return bytes(
        helper.make_model(
            helper.make_graph([node], "g", [picture], [output])
        ).SerializeToString()
    )


TOO_LARGE = b"""[net]
width=4096
height=4096
[convolutional]
filters=16
size=3
pad=1
stride=1
activation=leaky
[convolutional]
filters=16
size=3
pad=1
activation=leaky
"""
CLASSIFIER = b"[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=2\n[softmax]\n"
NAMED = {"names": "{0: 'cat', 1: 'dog'}"}
V8 = speaking_model(v8_output(), metadata=NAMED)

TABLE = {
    "no cfg": (
        [("obj.weights", WEIGHTS), ("obj.names", NAMES)],
        "A Darknet model needs the cfg (its layers) too; drop all three files together",
    ),
    "cfg alone": (
        [("obj.cfg", CFG)],
        "needs the weights and the names (a label a line) too",
    ),
    "names alone": (
        [("obj.names", NAMES)],
        "needs the cfg (its layers) and the weights too",
    ),
    "nothing": ([], "needs the cfg (its layers) and the weights and the names"),
    "an empty file": (
        darknet(weights=b""),
        "obj.weights is empty (0 bytes): a copy or a download was cut off.",
    ),
    "weights cut off": (
        darknet(weights=WEIGHTS[:-4]),
        "obj.weights is too short for this cfg: it needs 21,511 numbers (86,064 bytes) "
        "and the file has 21,510 (86,060 bytes). Was the download cut off",
    ),
    "weights cut off inside a number": (
        darknet(weights=WEIGHTS[:-3]),
        "the file has 21,510.25 (86,061 bytes)",
    ),
    "weights too long": (
        darknet(weights=WEIGHTS + bytes(4)),
        "obj.weights is too long for this cfg: it needs 21,511 numbers",
    ),
    "weights of other classes": (
        darknet(weights=HEADER + bytes(4 * 8 * (3 * 32 * 32 + 1))),
        "It has the length for 3 classes: is it of another training run?",
    ),
    "a start for training": (
        darknet(cfg=two_headed(2)),
        "It ends after convolution 1 of 2: this is a start for training",
    ),
    "weights not a number": (
        darknet(weights=WEIGHTS[:20] + b"\x00\x00\xc0\x7f" + WEIGHTS[24:]),
        "some are not finite numbers; the file is damaged, or the training diverged",
    ),
    "too few names": (
        darknet(names=b"cat\n"),
        "obj.names names 1 label and the model knows 2: write one for each class",
    ),
    "a gap in the names": (
        darknet(names=b"cat\n\ndog\n"),
        "obj.names has no label on line 2; every class needs one.",
    ),
    "wrong filters": (
        darknet(cfg=changed("filters=7", "filters=255")),
        "obj.cfg: line 8: filters=255, but the [yolo] on line 13 needs "
        "filters=(classes + 5) · anchors = (2 + 5) · 1 = 7.",
    ),
    "heads that disagree": (
        darknet(cfg=two_headed(3)),
        "obj.cfg: its heads disagree on how many classes there are: 2 on line 16, 3 on "
        "line 30.",
    ),
    "unknown layers": (
        darknet(cfg=CFG + b"[lstm]\nx=1\n[crnn]\n"),
        "obj.cfg: line 18: [lstm] is not supported.",
    ),
    "an unknown activation": (
        darknet(cfg=changed("activation=linear", "activation=gelu")),
        "line 11: activation=gelu is not supported",
    ),
    "no whole number": (
        darknet(cfg=changed("stride=32", "stride=x")),
        "line 10: stride=x is not a whole number",
    ),
    "a classifier": (
        darknet(cfg=CLASSIFIER),
        "obj.cfg: this is a classifier (it ends in [softmax], line 6); it has no "
        "[yolo] or [region] layer",
    ),
    "no head": (
        darknet(cfg=b"[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=2\n"),
        "this net has no [yolo] or [region] layer to detect by",
    ),
    "grey pictures": (
        darknet(cfg=changed("channels=3", "channels=1")),
        "channels=1, only 3 (RGB) is supported",
    ),
    "a net beyond the memory": (
        darknet(cfg=TOO_LARGE),
        "obj.cfg: The cfg cannot be used: line 4: 268435456 values in this layer, at "
        "most 150000000 are taken.",
    ),
    "a Git LFS pointer": (
        darknet(
            weights=b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\n"
        ),
        "obj.weights is a Git LFS pointer, not the file itself; run `git lfs pull`",
    ),
    "a web page": (
        darknet(weights=b"\n<!DOCTYPE html>\n<html><head>"),
        "obj.weights is a web page that was saved in place of the file",
    ),
    "a zip saved as weights": (
        darknet(weights=zipped(("obj.weights", WEIGHTS))),
        "obj.weights is a zip saved under another name; name it .zip, or unpack it",
    ),
    "a gzip": (
        darknet(weights=b"\x1f\x8b\x08" + bytes(50)),
        "obj.weights is packed with gzip; unpack it",
    ),
    "a broken zip": (
        [("model.zip", b"PK\x03\x04" + bytes(50))],
        "model.zip is not a zip file, or a broken one",
    ),
    "two models at once": (
        [*darknet(), ("b.cfg", CFG)],
        "There are 2 cfg files (obj.cfg, b.cfg); drop one model at a time.",
    ),
    "an ONNX and a Darknet model": (
        [*darknet(), ("model.onnx", V8)],
        "There is an ONNX file and a Darknet model; drop one at a time.",
    ),
    "a PyTorch checkpoint": (
        [("best.pt", zipped(("best/data.pkl", b"\x80\x02")))],
        "best.pt is a PyTorch checkpoint: it can hold code, so it is never opened. "
        "Export it where it was trained: `yolo export model=best.pt format=onnx`",
    ),
    "a checkpoint under another name": (
        [("best.onnx", pickle.dumps({"model": 1}, protocol=2))],
        "best.onnx is a PyTorch checkpoint",
    ),
    "a TensorRT engine": (
        [("best.engine", b"ftrt" + bytes(9))],
        "best.engine is a TensorRT engine, which fits one graphics card only; export",
    ),
    "a picture": ([("a.weights", b"\xff\xd8\xff\xe0")], "a.weights is an image"),
    "something else": (
        [("notes.bin", b"\x7fELF" + bytes(80))],
        "notes.bin is no part of a model that is known",
    ),
    "an ONNX file cut off": (
        [("model.onnx", V8[: len(V8) // 2])],
        "model.onnx begins as an ONNX model and breaks off",
    ),
    "ONNX for training": (
        [("model.onnx", learning_model())],
        "This ONNX model is a graph for training; export it for inference.",
    ),
    "raw feature maps": (
        [("model.onnx", onnx_model([1, 3, 8, 12, 7]))],
        "gives raw feature maps of training (output 1 × 3 × 8 × 12 × 7)",
    ),
    "dynamic shapes": (
        [("model.onnx", onnx_model([1, 6, 126], picture=(None, 3, None, None)))],
        "The input images of this ONNX model has no fixed size (? × 3 × ? × ?); export "
        "it for one image of one size (dynamic=False, imgsz=640, batch=1",
    ),
    "outputs that nothing knows": (
        [("model.onnx", onnx_model([3, 1000]))],
        "its outputs are output 3 × 1000.",
    ),
    "half precision": (
        [("model.onnx", half_model())],
        "reads float16 numbers; export it with float32 input (half=False",
    ),
    "another task": (
        [("m.onnx", speaking_model(v8_output(), metadata={"task": "segment"}))],
        "is for the task 'segment'; only models that detect boxes or classify images "
        "can be used.",
    ),
    "a detector that says it classifies": (
        [("m.onnx", speaking_model(v8_output(), metadata={"task": "classify"}))],
        "describes a classifier, but its outputs (output0 1 × 6 × 126) are not one "
        "number for each label",
    ),
    "a classifier that says it detects": (
        [("m.onnx", speaking_model([[0.9, 0.1]], metadata={"task": "detect"}))],
        "describes a detector, but its output is one row of 2 numbers",
    ),
    "a classifier without names": (
        [("m.onnx", speaking_model([[0.9, 0.1]]))],
        "m.onnx does not name its labels; drop a names file with it: 2 labels",
    ),
    "a classifier with other names": (
        [("m.onnx", speaking_model([[0.9, 0.1]])), ("m.names", b"a\nb\nc\n")],
        "m.names names 3 labels and the model knows 2",
    ),
    "a classifier with fewer names in its metadata": (
        [("m.onnx", speaking_model([[0.9, 0.1]], metadata={"names": "{0: 'cat'}"}))],
        "m.onnx names 1 label and has 2 classes",
    ),
    "ONNX without names": (
        [("model.onnx", speaking_model(v8_output()))],
        "model.onnx does not name its labels; drop a names file with it: 2 labels",
    ),
    "ONNX with other names": (
        [("model.onnx", V8), ("obj.names", b"a\nb\nc\n")],
        "obj.names names 3 labels and the model knows 2",
    ),
    "ONNX that may be two things": (
        [("model.onnx", speaking_model(yolox_output(decoded=False)))],
        "model.onnx can be read in more than one way: as YOLOX, or YOLOX with decoded "
        "boxes, or YOLOv8, 11 or 12, a row a box. Say which it is",
    ),
}


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 25


@pytest.mark.parametrize("broken", TABLE)
def test_broken_upload_gets_its_sentence(broken: str) -> None:
    files, sentence = TABLE[broken]
    found = validate_upload(files, limits=Limits())
    faults = [finding.text for finding in found.findings if finding.level is Level.BAD]
    assert any(sentence in fault for fault in faults), faults
    assert not found.is_usable


def test_file_above_the_limit_is_refused_unread() -> None:
    found = validate_upload(
        [("obj.weights", bytes(11_000_000))], limits=Limits(max_model_bytes=10_000_000)
    )
    assert found.findings[0].text == (
        "obj.weights has 11 MB; a model may have 10 MB here."
    )


def test_memory_limit_is_worked_out_before_the_weights_are_looked_at() -> None:
    limits = Limits(max_model_memory_bytes=200_000)
    found = validate_upload(darknet(weights=b"\x00" * 20), limits=limits)
    (fault,) = [
        finding.text for finding in found.findings if finding.level is Level.BAD
    ]
    # 21,511 weights three times and 7 + 7 outputs, four bytes each.
    assert "would need 0.0 GB" in fault
    needed = 4 * (3 * 21_511 + 14)
    assert validate_upload(
        darknet(), limits=Limits(max_model_memory_bytes=needed)
    ).is_usable
    assert not validate_upload(
        darknet(), limits=Limits(max_model_memory_bytes=needed - 1)
    ).is_usable


def test_random_bytes_never_raise() -> None:
    rng = np.random.default_rng(1)
    for length in (1, 7, 30, 500, 5_000):
        for name in ("a.cfg", "a.weights", "a.names", "a.onnx", "a.zip", "a"):
            data = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
            assert not validate_upload([(name, data)], limits=Limits()).is_usable
