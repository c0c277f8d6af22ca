"""Classifiers: trained here on real photographs, exported, brought, run, refused."""

import io
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.detection_model import load_model
from imagebase.detection.detector import Detector
from imagebase.detection.factory import load_apart_if_added, load_detector
from imagebase.detection.library import ModelLibrary, all_models, classifiers
from imagebase.detection.model_files import Model
from imagebase.detection.onnx.families import adapter_for, families_of, read_onnx
from imagebase.detection.onnx.families import possible_adapters as possible
from imagebase.detection.preprocess import cropped
from imagebase.detection.runtime import load_runtime
from imagebase.detection.validation import add_to_library, dry_run, validate_upload
from imagebase.detection.validation.dry_run import tags_of
from imagebase.errors import ModelLoadError
from imagebase.images.decode import load_image
from imagebase.settings import Limits, settings
from tests.detection.onnx.onnx_builder import GraphBuilder
from tests.detection.onnx.onnx_graphs import speaking_model

SIDE = 64
LABELS = ("raccoon", "blood cells")
# As Ultralytics writes them.
METADATA = {
    "task": "classify",
    "names": "{0: 'raccoon', 1: 'blood cells'}",
    "imgsz": f"[{SIDE}, {SIDE}]",
    "license": "AGPL-3.0 https://ultralytics.com/license",
}
IMAGENET = {
    "mean": "[0.485, 0.456, 0.406]",
    "std": "[0.229, 0.224, 0.225]",
    "names": METADATA["names"],
}


def photographs(shared_data: Path) -> list[list[Path]]:
    """Return thirty photographs of raccoons, and thirty of blood cells."""
    folders = ("raccoon/images", "bccd/BCCD/JPEGImages")
    return [sorted((shared_data / name).glob("*.jpg"))[:30] for name in folders]


def seen(path: Path, **how: object) -> torch.Tensor:
    rgb = load_image(path.read_bytes(), file_name=path.name, max_pixels=10**8).rgb
    return torch.from_numpy(cropped(rgb, Size(SIDE, SIDE), **how).blob[0])  # type: ignore[arg-type]


@cache
def trained(shared_data: Path) -> torch.nn.Sequential:
    """A small net that tells ten photographs of either kind apart."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 5, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 2),
    )
    kinds = photographs(shared_data)
    images = torch.stack([seen(path) for paths in kinds for path in paths[:10]])
    wanted = torch.tensor([0] * 10 + [1] * 10)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(120):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(images), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval().requires_grad_(False)


def exported(
    net: torch.nn.Module, metadata: Mapping[str, str], **options: object
) -> bytes:
    """Return what PyTorch exports, with metadata."""
    from onnx import helper, load_model_from_string

    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        image = torch.zeros(1, 3, SIDE, SIDE)
        torch.onnx.export(net, (image,), out, dynamo=False, **options)  # type: ignore[arg-type]
    model = load_model_from_string(out.getvalue())
    helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())


def brought(data: bytes, folder: Path, *names: tuple[str, bytes]) -> Model:
    """Return the model after it was validated, tried and added."""
    result = validate_upload([("m.onnx", data), *names], limits=Limits())
    assert result.draft is not None, result.findings
    trial = dry_run(result.draft.model)
    return add_to_library(
        result.draft,
        ModelLibrary(folder),
        name="Animals",
        who="ann",
        trial=trial,
        limits=Limits(),
    )


def answers(detector: Detector, path: Path) -> dict[str, float]:
    """Return the confidence of each label."""
    loaded = load_image(path.read_bytes(), file_name=path.name, max_pixels=10**8)
    found = detector.candidates(loaded.rgb, size=loaded.size)
    whole = [0, 0, *loaded.size]
    assert found.xyxy.tolist() == [whole] * len(found)
    return {
        detector.labels[i]: float(x)
        for i, x in zip(found.class_id, found.confidence, strict=True)
    }


def test_classifier_trained_on_photographs_is_brought_and_right(
    shared_data: Path, tmp_path: Path
) -> None:
    net = torch.nn.Sequential(*trained(shared_data), torch.nn.Softmax(1))
    model = brought(exported(net, METADATA), tmp_path)
    assert (model.family, model.labels) == ("classifier", LABELS)
    right, detector = [], load_apart_if_added(model)
    for label, paths in zip(LABELS, photographs(shared_data), strict=True):
        for path in paths[10:]:
            found = answers(detector, path)
            right.append(max(found, key=found.__getitem__) == label)
            expected = float(net(seen(path)[None])[0, LABELS.index(label)])
            assert abs(found.get(label, 0) - expected) < 0.02
    assert len(right) == 40
    assert np.mean(right) >= 0.95


def test_numbers_before_a_softmax_and_a_names_file_give_the_same(
    shared_data: Path, tmp_path: Path
) -> None:
    net, path = trained(shared_data), photographs(shared_data)[0][12]
    options = {"dynamic_axes": {"image": {0: "n"}, "out": {0: "n"}}}
    inputs = {"input_names": ["image"], "output_names": ["out"]}
    metadata = {key: METADATA[key] for key in ("task", "imgsz")}
    data = exported(net, metadata, **options, **inputs)
    names = ("m.names", "\n".join(LABELS).encode())
    model = brought(data, tmp_path, names)
    found = answers(load_apart_if_added(model), path)
    expected = torch.softmax(net(seen(path)[None]), 1)[0]
    assert abs(found["raccoon"] - float(expected[0])) < 0.02


def test_a_line_break_in_a_label_moves_no_other() -> None:
    names = str({0: "a\nb", 1: "c\u2028d", 2: "e"})
    data = speaking_model([[0.02, 0.9, 0.08]], metadata={"names": names})
    result = validate_upload([("m.onnx", data)], limits=Limits())
    assert result.draft is not None
    assert result.draft.model.labels == ("a b", "c d", "e")


@pytest.mark.parametrize("blank", ["", " ", "\n", "\u200b"])
def test_a_class_without_a_label_is_named(blank: str) -> None:
    names = str({0: "a", 1: "b", 2: blank})
    data = speaking_model([[0.02, 0.9, 0.08]], metadata={"names": names})
    result = validate_upload([("m.onnx", data)], limits=Limits())
    assert "m.onnx has no label for class 2" in result.findings[-1].text
    assert not result.is_usable


def test_trial_says_the_likeliest_labels() -> None:
    data = speaking_model([[0.02, 0.9, 0.08]], metadata={"names": "['a', 'b', 'c']"})
    result = validate_upload([("m.onnx", data)], limits=Limits())
    assert result.draft is not None
    assert result.families == ("classifier-imagenet", "classifier")
    # Nothing says how images go in.
    assert "But the file does not say how images go in" in result.findings[0].text
    tried = dry_run(result.draft.model)
    assert tags_of(tried, result.draft.model.labels) == "b 90 %, c 8 %, a 2 %"


@pytest.mark.parametrize(
    ("metadata", "colour"),
    [
        (METADATA, [1, 0.2, 0]),
        (IMAGENET, [2.2489, -1.1424, -1.8044]),
        (
            {**IMAGENET, "mean": "[127.5] * 3", "std": "(1, 1, 1)"},
            [2.2489, -1.1424, -1.8044],
        ),
        (
            {
                **IMAGENET,
                "mean": "[127.5, 127.5, 127.5]",
                "std": "[127.5, 127.5, 127.5]",
            },
            [1, -0.6, -1],
        ),
        ({"names": METADATA["names"]}, [2.2489, -1.1424, -1.8044]),
    ],
    ids=["Ultralytics", "mean and std", "no numbers", "of 255", "nothing said"],
)
def test_images_go_in_as_the_metadata_say(
    metadata: dict[str, str], colour: list[float]
) -> None:
    model = read_onnx(speaking_model([[0.9, 0.1]], metadata=metadata))
    adapter = adapter_for(model, labels=2)
    red = np.full((50, 200, 3), (255, 51, 0), np.uint8)
    prepared = adapter.prepare(red, adapter.net_size)
    assert prepared.inner == adapter.net_size
    np.testing.assert_allclose(prepared.blob[0, :, 8, 8], colour, atol=1e-3)


def test_the_middle_of_an_image_goes_in() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    assert cropped(wide, Size(64, 64)).blob.min() == 1
    tall = np.ascontiguousarray(wide.transpose(1, 0, 2))
    assert cropped(tall, Size(64, 64)).blob.min() == 1
    assert cropped(tall, Size(64, 128)).blob.min() == 0
    assert cropped(wide[:1, :1], Size(64, 64)).blob.shape == (1, 3, 64, 64)


def ending_in(operator: str, values: list[list[float]]) -> bytes:
    """Return a model that gives these numbers by this operator."""
    graph = GraphBuilder((1, 3, 32, 32))
    raw = graph.op(
        "Add",
        graph.constant(np.array(values, np.float32)),
        graph.op("Mul", *_zero(graph)),
    )
    last = graph.op(operator, raw)
    return graph.ends_in(last, np.shape(values)).model({"names": "['a', 'b']"})


def _zero(graph: GraphBuilder) -> tuple[str, str]:
    mean = graph.op("ReduceMean", "images", keepdims=0)
    return mean, graph.constant(np.float32(0))


def confidences(data: bytes) -> NDArray[np.float32]:
    model = read_onnx(data)
    adapter = adapter_for(model, labels=2, family="classifier")
    runtime = load_runtime(
        data, outputs=adapter.outputs, runtime="opencv", precision="f32"
    )
    picture = np.zeros((1, 3, 32, 32), np.float32)
    return adapter.decode(runtime.run(picture), 0.0).confidence


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("Softmax", [[2.0, 0.0]], [0.8808, 0.1192]),
        ("LogSoftmax", [[2.0, 0.0]], [0.8808, 0.1192]),
        ("Sigmoid", [[2.0, 2.0]], [0.8808, 0.8808]),
        ("Identity", [[2.0, 0.0]], [0.8808, 0.1192]),
        ("Relu", [[0.75, 0.25]], [0.75, 0.25]),
    ],
)
def test_numbers_become_probabilities(
    operator: str, values: list[list[float]], expected: list[float]
) -> None:
    found = confidences(ending_in(operator, values))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("operator", ["Relu", "Exp", "Tanh"])
def test_numbers_that_are_no_probabilities_are_refused(operator: str) -> None:
    with pytest.raises(ModelLoadError, match="are not probabilities; export it with"):
        confidences(ending_in(operator, [[3.0, 2.0]]))


def test_what_is_no_probability_is_refused_when_it_is_tried() -> None:
    data = ending_in("Relu", [[3.0, 2.0]])
    result = validate_upload([("m.onnx", data)], limits=Limits())
    assert result.draft is not None
    with pytest.raises(ModelLoadError, match=r"go from 2 to 3 and are not probab"):
        dry_run(result.draft.model)


def test_rows_of_seven_numbers_are_boxes_unless_something_says_otherwise() -> None:
    rows = GraphBuilder().output("output", np.zeros((1, 7), np.float32)).model()
    assert "yolov7-end-to-end" in families_of(possible(read_onnx(rows)))
    model = read_onnx(
        speaking_model(np.full((1, 7), 1 / 7), metadata={"task": "classify"})
    )
    assert families_of(possible(model, labels=7)) == (
        "classifier",
        "classifier-imagenet",
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def test_classifier_finds_no_boxes_and_says_what_it_is_for(
    tmp_path: Path, home: Path
) -> None:
    data = speaking_model([[0.9, 0.1]], metadata=METADATA)
    (tmp_path / "m.onnx").write_bytes(data)
    sentence = "a classifier, which proposes image tags on Edit and Review; choose a"
    with pytest.raises(ModelLoadError, match=sentence):
        load_model(tmp_path / "m.onnx")
    model = brought(data, home / "models")
    assert [model.name for model in classifiers()] == ["Animals"]
    assert "Animals" not in [model.name for model in all_models()]
    with pytest.raises(ModelLoadError, match=f"Animals is {sentence}"):
        load_detector([model])
    with pytest.raises(ModelLoadError, match=f"Animals is {sentence}"):
        load_model("Animals")
    with pytest.raises(ModelLoadError, match="cannot be read as classifier"):
        adapter_for(
            read_onnx(speaking_model(np.zeros((1, 6, 126)))), family="classifier"
        )
