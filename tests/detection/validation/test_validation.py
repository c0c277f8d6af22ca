"""Uploads that can be used: what is said of them, and what is kept."""

import gc
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from imagebase.annotation import Size
from imagebase.detection.detector import load_single
from imagebase.detection.library import ModelLibrary
from imagebase.detection.model_files import model_in_folder
from imagebase.detection.validation import (
    Level,
    add_to_library,
    dry_run,
    validate_files,
    validate_upload,
)
from imagebase.errors import LimitError, ModelLoadError
from imagebase.settings import WEIGHTS_FOLDER, Limits
from tests.detection.darknet.darknet_models import ONE_BOX_CFG, one_box_weights
from tests.detection.onnx.onnx_graphs import (
    HEIGHT,
    WIDTH,
    speaking_model,
    v8_output,
    yolox_output,
)
from tests.detection.taught.test_taught_file import some_model
from tests.detection.validation.test_broken_uploads import (
    CFG,
    NAMES,
    V8,
    WEIGHTS,
    Files,
    darknet,
    zipped,
)


def greedy_model(*, side: int) -> bytes:
    """Return a small file that spreads a number over side × side of them."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "shape"], ["spread"]),
        helper.make_node("CumSum", ["spread", "axis"], ["sums"]),
        helper.make_node("ReduceMean", ["sums"], ["less"], keepdims=0),
        helper.make_node("Add", ["less", "values"], ["output0"]),
    ]
    values = v8_output()
    picture = helper.make_tensor_value_info(
        "images", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH]
    )
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, values.shape)
    constants = {
        "shape": np.array([side, side], np.int64),
        "axis": np.array(0, np.int64),
        "values": values,
    }
    graph = helper.make_graph(
        nodes,
        "greedy",
        [picture],
        [output],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())


def sentences(files: Files, level: Level) -> list[str]:
    found = validate_upload(files, limits=Limits())
    return [finding.text for finding in found.findings if finding.level is level]


def test_model_without_faults_gets_good_sentences_only() -> None:
    found = validate_upload(darknet(), limits=Limits())
    assert [finding.text for finding in found.findings] == [
        "obj.cfg: YOLOv3 or v4, 2 layers, 1 head, 32 × 32 pixels, 2 classes.",
        "obj.names: 2 labels, cat, dog.",
        "obj.weights: 21,511 numbers, as the cfg needs.",
    ]
    assert {finding.level for finding in found.findings} == {Level.GOOD}


def test_files_are_known_by_what_is_in_them_under_any_name() -> None:
    files = [("a", CFG), ("b.bin", WEIGHTS), ("classes.txt", NAMES)]
    draft = validate_upload(files, limits=Limits()).draft
    assert draft is not None
    assert draft.model.labels == ("cat", "dog")
    assert draft.model.graph.read_bytes() == CFG


def test_swapped_files_are_read_by_their_content() -> None:
    files = [("obj.cfg", WEIGHTS), ("obj.weights", NAMES), ("obj.names", CFG)]
    assert validate_upload(files, limits=Limits()).is_usable
    swapped = sentences(files, Level.WARNING)
    assert [text.partition(":")[0] for text in swapped] == [
        "obj.cfg holds the weights",
        "obj.weights holds the names",
        "obj.names holds the cfg",
    ]


def test_zip_with_a_folder_and_other_things_in_it_is_taken_apart() -> None:
    data = zipped(
        ("pets/", b""),
        ("pets/pets_final.weights", WEIGHTS),
        ("pets/pets.cfg", CFG),
        ("pets/pets.names", NAMES),
        ("pets/README.md", b"# pets"),
        ("pets/chart.png", b"\x89PNG"),
        ("pets/LICENSE", b"Do what you like."),
        ("pets/obj.data", b"classes=2\n"),
        ("__MACOSX/pets/._pets.cfg", b"x"),
    )
    draft = validate_upload([("upload.zip", data)], limits=Limits()).draft
    assert draft is not None
    assert (draft.suggested_name, draft.licence) == ("pets", "Do what you like.")


@pytest.mark.parametrize(
    ("names", "warning"),
    [
        pytest.param(b"cat\r\ndog\r\n", "has Windows line ends", id="CRLF"),
        pytest.param(
            b"\xef\xbb\xbfcat\ndog", "begins with a byte order mark", id="BOM"
        ),
        pytest.param("cat\ndog".encode("utf-16"), "is UTF-16 text", id="UTF-16"),
        pytest.param(
            "cat\ndog\n".encode("utf-16-le"), "is UTF-16 text", id="UTF-16 unmarked"
        ),
    ],
)
def test_text_as_windows_saves_it_is_told_and_kept_plainly(
    names: bytes, warning: str
) -> None:
    draft = validate_upload(darknet(names=names), limits=Limits()).draft
    assert draft is not None
    assert draft.model.labels == ("cat", "dog")
    said = sentences(darknet(names=names), Level.WARNING)
    assert said == [f"obj.names {warning}; it is kept as plain UTF-8 text."]


def test_cfg_in_utf_16_is_kept_so_that_every_tool_reads_it() -> None:
    files = darknet(cfg=ONE_BOX_CFG.replace("\n", "\r\n").encode("utf-16"))
    draft = validate_upload(files, limits=Limits()).draft
    assert draft is not None
    assert draft.model.graph.read_bytes() == CFG


def test_windows_letters_in_names_are_read() -> None:
    files = darknet(names="Kätzchen\nvery good dog".encode("cp1252"))
    draft = validate_upload(files, limits=Limits()).draft
    assert draft is not None
    assert draft.model.labels == ("Kätzchen", "very good dog")


def test_twins_among_the_labels_are_told() -> None:
    said = sentences(darknet(names=b"dog\ndog\n"), Level.WARNING)
    assert said == ["More than one class is called dog: their boxes will mix."]


def test_weights_that_end_in_zeros_are_told() -> None:
    said = sentences(darknet(weights=one_box_weights()), Level.WARNING)
    assert said[0].startswith("obj.weights ends in zeros only; was its download cut")


def test_onnx_model_names_itself() -> None:
    found = validate_upload([("pets.onnx", V8)], limits=Limits())
    assert [finding.text for finding in found.findings] == [
        "pets.onnx: YOLOv8, 11 or 12, 96 × 64 pixels, 2 classes.",
        "pets.onnx names its 2 labels itself.",
    ]
    assert found.draft is not None
    assert found.draft.input_size == Size(96, 64)
    assert found.draft.suggested_name == "pets"


def test_names_file_counts_more_than_the_metadata() -> None:
    files = [("pets.onnx", V8), ("obj.names", b"Katze\nHund\n")]
    draft = validate_upload(files, limits=Limits()).draft
    assert draft is not None
    assert draft.model.labels == ("Katze", "Hund")
    assert "obj.names counts." in sentences(files, Level.WARNING)[0]


def test_person_says_how_an_ambiguous_model_is_read(tmp_path: Path) -> None:
    data = speaking_model(yolox_output(decoded=True), metadata={})
    files = [("m.onnx", data), ("m.names", NAMES)]
    usual = validate_upload(files, limits=Limits())
    chosen = validate_upload(files, limits=Limits(), family="yolox-decoded")
    assert usual.families == chosen.families == ("yolox", "yolox-decoded")
    assert usual.draft is not None
    assert chosen.draft is not None
    assert usual.draft.sha256 != chosen.draft.sha256
    library = ModelLibrary(tmp_path / "models")
    model = add_to_library(
        chosen.draft, library, name="m", who="ann", trial=None, limits=Limits()
    )
    assert model.family == "yolox-decoded"
    detector = load_single(model)
    assert detector.sha256 == chosen.draft.sha256 == library.card("m").sha256
    found = detector.candidates(
        np.zeros((64, 96, 3), np.uint8), size=Size(96, 64), floor=0.05
    )
    np.testing.assert_allclose(found.xyxy, [[36, 24, 60, 40]], atol=1e-3)


@pytest.mark.parametrize(
    "name", ["yolov4-tiny", "yolo-fastest-1.1", "yolo-fastest-1.1-xl", "yolox-nano"]
)
def test_models_that_came_along_are_healthy(name: str) -> None:
    found = validate_files([WEIGHTS_FOLDER / name], limits=Limits())
    assert found.is_usable
    assert {finding.level for finding in found.findings} == {Level.GOOD}
    assert found.draft is not None
    assert found.draft.sha256 == load_single(found.draft.model).sha256


def test_dry_run_shows_the_box_that_the_biases_encode(tmp_path: Path) -> None:
    draft = validate_upload(darknet(), limits=Limits()).draft
    assert draft is not None
    tried = dry_run(draft.model)
    assert tried.candidates.class_id.tolist() == [1]
    width, height = tried.size
    # The middle of the only cell; an anchor of 16 × 8 in a net of 32 × 32.
    expected = [width / 4, height * 3 / 8, width * 3 / 4, height * 5 / 8]
    np.testing.assert_allclose(tried.candidates.xyxy, [expected], rtol=1e-3)
    assert tried.milliseconds > 0
    library = ModelLibrary(tmp_path / "models")
    add_to_library(
        draft,
        library,
        name="pets",
        who="ann",
        trial=tried,
        limits=Limits(),
        source="us",
    )
    card = library.card("pets")
    assert card.milliseconds == tried.milliseconds
    assert (card.added_by, card.source, card.family) == ("ann", "us", "darknet")
    assert card.byte_count == len(CFG) + len(WEIGHTS) + len(NAMES)


def test_model_that_kills_its_process_is_told_and_the_server_lives() -> None:
    draft = validate_upload([("pets.onnx", V8)], limits=Limits()).draft
    assert draft is not None
    draft.model.graph.write_bytes(V8[:-40])
    with pytest.raises(ModelLoadError):
        dry_run(draft.model)


def test_graph_that_would_fill_the_memory_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(greedy_model(side=60_000))
    (tmp_path / "obj.names").write_bytes(NAMES)
    model = model_in_folder(tmp_path)
    with pytest.raises(ModelLoadError, match=r"could not be run|cannot load|memory"):
        dry_run(model, limits=Limits(max_model_memory_bytes=500_000_000))


def test_no_more_models_are_kept_than_are_allowed(tmp_path: Path) -> None:
    library = ModelLibrary(tmp_path / "models")
    limits = Limits(max_models=1)
    for name in ("one", "two"):
        draft = validate_upload(darknet(weights=one_box_weights()), limits=limits).draft
        assert draft is not None
        if name == "one":
            add_to_library(draft, library, name=name, who="", trial=None, limits=limits)
            continue
        with pytest.raises(LimitError, match="1 models of yours"):
            add_to_library(draft, library, name=name, who="", trial=None, limits=limits)


def test_draft_leaves_nothing_behind() -> None:
    found = validate_upload(darknet(), limits=Limits())
    assert found.draft is not None
    path = found.draft.folder.path
    assert path.is_dir()
    del found
    gc.collect()
    assert not path.exists()


def test_shortcut_of_other_sizes_is_read_and_warned_of() -> None:
    layers = "[maxpool]\nsize=1\n[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=0\n"
    cfg = ONE_BOX_CFG.replace("[conv", f"{layers}[upsample]\n[conv", 1).encode()
    found = validate_upload(darknet(cfg=cfg), limits=Limits())
    assert found.is_usable
    said = [
        finding.text for finding in found.findings if finding.level is Level.WARNING
    ]
    assert any(
        "[shortcut] of layers of different sizes" in sentence for sentence in said
    )


def test_filters_of_a_gaussian_head_are_nine_beside_the_classes() -> None:
    cfg = ONE_BOX_CFG.replace("[yolo]", "[Gaussian_yolo]").encode()
    (fault,) = sentences(darknet(cfg=cfg), Level.BAD)
    assert "needs filters=(classes + 9) · anchors = (2 + 9) · 1 = 11" in fault


def test_a_taught_model_is_examined_tried_and_kept(tmp_path: Path) -> None:
    model = some_model(("cat", "dog"))
    content = model.to_bytes()
    examined = validate_upload([("pets.npz", content)], limits=Limits())
    (finding,) = examined.findings
    assert finding.text == "pets.npz: Taught by examples (5 images), 2 labels."
    assert examined.draft is not None
    assert examined.draft.suggested_name == "pets"
    trial = dry_run(examined.draft.model)
    library = ModelLibrary(tmp_path / "models")
    kept = add_to_library(
        examined.draft, library, name="Pets", who="ann", trial=trial, limits=Limits()
    )
    assert kept.labels == ("cat", "dog")
    assert kept.graph.read_bytes() == content
    assert library.card("Pets").family == "taught"
    assert validate_files([kept.folder], limits=Limits()).is_usable


def test_a_zip_of_a_taught_model_is_read_too() -> None:
    files = [("taught.npz", some_model().to_bytes()), ("obj.names", b"cat\ndog\n")]
    assert validate_upload([("a.zip", zipped(*files))], limits=Limits()).is_usable


@pytest.mark.parametrize("content", [b"", b"nope", some_model().to_bytes()[:-30]])
def test_a_broken_taught_model_is_refused(content: bytes) -> None:
    examined = validate_upload([("pets.npz", content)], limits=Limits())
    (finding,) = examined.findings
    assert finding.level is Level.BAD
    assert finding.text.startswith("pets.npz is no taught model, or a damaged one")


def test_a_taught_model_comes_alone() -> None:
    files = [("pets.npz", some_model().to_bytes()), *darknet()]
    (finding, *_) = validate_upload(files, limits=Limits()).findings[-1:]
    assert "There is a taught model and another one" in finding.text
