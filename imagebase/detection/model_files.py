"""The files of a model: Darknet cfg, weights and names, or one ONNX or taught file."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.annotation import clean_label
from imagebase.detection.onnx import classifier
from imagebase.detection.onnx.families import labels_of, read_onnx
from imagebase.detection.taught.model import SUFFIX, labels_in
from imagebase.errors import ModelLoadError
from imagebase.settings import WEIGHTS_FOLDER

CFG: Final = "obj.cfg"
WEIGHTS: Final = "obj.weights"
NAMES: Final = "obj.names"
# The model converted to ONNX, and the reports of its training run.
CONVERTED: Final = "obj.onnx"
REPORT, METRICS, HISTORY = "report.html", "metrics.json", "history.csv"
REPORTS: Final = (REPORT, METRICS, HISTORY)
MAX_NAMES_BYTES: Final = 1_000_000


class ModelTitle(NamedTuple):
    """title: shown in lists. origin: where the model comes from."""

    title: str
    origin: str


BUNDLED: Final[Mapping[str, ModelTitle]] = {
    "yolov4-tiny": ModelTitle("YOLOv4-tiny, COCO's 80 labels", "AlexeyAB/darknet"),
    "yolo-fastest-1.1": ModelTitle(
        "Yolo-Fastest 1.1, small and quick", "dog-qiuqiu/Yolo-Fastest"
    ),
    "yolo-fastest-1.1-xl": ModelTitle(
        "Yolo-Fastest 1.1 XL, quick", "dog-qiuqiu/Yolo-Fastest"
    ),
    "yolox-nano": ModelTitle(
        "YOLOX-Nano, the most accurate of the four", "Megvii-BaseDetection/YOLOX"
    ),
}


@dataclass(frozen=True, slots=True)
class Model:
    """The files of a model and its description, without loading it.

    graph: a Darknet .cfg, an .onnx file, or a taught model's .npz file.
    weights: the .weights of a .cfg, else None.
    labels: class names in order of their ids. origin: where it comes from.
    identity: by which its boxes know it, also after a rename; empty is the name.
    family: how an .onnx file's outputs are read, if chosen by hand or a classifier's.
    """

    name: str
    graph: Path
    weights: Path | None
    labels: tuple[str, ...]
    title: str
    origin: str
    identity: str = ""
    family: str | None = None

    @property
    def folder(self) -> Path:
        return self.graph.parent

    @property
    def is_darknet(self) -> bool:
        return self.weights is not None

    @property
    def is_taught(self) -> bool:
        """Say whether it was taught by examples: an .npz file."""
        return self.graph.suffix.lower() == SUFFIX

    @property
    def is_classifier(self) -> bool:
        """Say whether it proposes tags for images and finds no boxes."""
        return self.family in classifier.FAMILIES

    @property
    def is_bundled(self) -> bool:
        """Say whether it came with the project."""
        return self.folder.resolve().parent == WEIGHTS_FOLDER.resolve()


def sha256_of(graph: bytes, weights: bytes | None, family: str | None = None) -> str:
    """Return the digest by which results of different models are distinguished.

    It is of the .cfg followed by the .weights, or of the .onnx file and of the
    family it is read as, if chosen by hand.
    """
    sha256 = hashlib.sha256(graph)
    sha256.update(weights or b"")
    sha256.update(f"family={family}".encode() if family else b"")
    return sha256.hexdigest()


def read_names(path: Path) -> tuple[str, ...]:
    """Return the labels of an obj.names file, one a line, blank lines at its end off.

    Raises:
        ModelLoadError: a label is blank, or the file is not text.
    """
    try:
        content = path.read_bytes()
        text = content[: MAX_NAMES_BYTES + 1].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(
            f"{path.name} cannot be read; save it as UTF-8 text, a label a line."
        ) from error
    if len(content) > MAX_NAMES_BYTES:
        raise ModelLoadError(f"{path.name} is too big for a list of labels.")
    return names_in(text, file_name=path.name)


def names_in(text: str, *, file_name: str) -> tuple[str, ...]:
    """Return the labels of a text, one a line, blank lines at its end off.

    Raises:
        ModelLoadError: a label is blank or cannot be one, with its line.
    """
    return tuple(_labels(text.rstrip().splitlines(), file_name))


def _labels(lines: list[str], file_name: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield clean_label(line.strip())
        except ValueError:
            raise ModelLoadError(
                f"{file_name} has no label on line {number}; every class needs one."
            ) from None


def model_in_folder(folder: Path) -> Model:
    """Return the model of a folder: obj.cfg, .weights and .names, or one model file.

    Raises:
        ModelLoadError: a part of it is missing or unreadable.
    """
    name = folder.resolve().name
    graph, weights = folder / CFG, folder / WEIGHTS
    if not graph.is_file():
        for suffix in (".onnx", SUFFIX):
            files = sorted(folder.glob(f"*{suffix}"))
            if len(files) == 1:
                return model_in_file(files[0], name=name)
    missing = [name for name in (CFG, WEIGHTS, NAMES) if not (folder / name).is_file()]
    if missing:
        raise ModelLoadError(
            f"The model folder {name} has no {', no '.join(missing)}; it needs {CFG}, "
            f"{WEIGHTS} and {NAMES}, or one .onnx file."
        )
    title_of = _title_of(folder, name)
    return Model(name, graph, weights, read_names(folder / NAMES), *title_of)


def model_in_file(path: Path, *, name: str) -> Model:
    """Return the model of an .onnx file, its labels next to it or in its metadata.

    The .npz file of a taught model holds its labels itself.

    Raises:
        ModelLoadError: it cannot be read, or nothing names its labels.
    """
    if path.suffix.lower() == SUFFIX:
        labels = labels_in(path.read_bytes(), name=path.name)
        return Model(name, path, None, labels, *_title_of(path.parent, name))
    names = names_beside(path)
    labels = read_names(names[0]) if names else labels_of(read_onnx(path.read_bytes()))
    if not labels:
        raise ModelLoadError(
            f"{path.name} does not name its labels; put them into {NAMES} next to it, "
            "one a line."
        )
    return Model(name, path, None, labels, *_title_of(path.parent, name))


def names_beside(path: Path) -> list[Path]:
    """Return the files that may name an .onnx file's labels, the likelier first."""
    candidates = (path.with_suffix(".names"), path.parent / NAMES)
    return [path for path in candidates if path.is_file()]


def _title_of(folder: Path, name: str) -> ModelTitle:
    is_bundled = folder.resolve().parent == WEIGHTS_FOLDER.resolve()
    return BUNDLED[name] if is_bundled and name in BUNDLED else ModelTitle(name, "")
