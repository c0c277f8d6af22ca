"""The models there are: those that came along, and any that a path names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.annotation import clean_label
from imagebase.detection.onnx_models import labels_of, read_onnx
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.settings import WEIGHTS_FOLDER

_CFG: Final = "obj.cfg"
_WEIGHTS: Final = "obj.weights"
_NAMES: Final = "obj.names"
_MAX_NAMES_BYTES: Final = 1_000_000


class _About(NamedTuple):
    title: str
    origin: str


_BUNDLED: Final[Mapping[str, _About]] = {
    "yolov4-tiny": _About("YOLOv4-tiny, COCO's 80 labels", "AlexeyAB/darknet"),
    "yolo-fastest-1.1": _About(
        "Yolo-Fastest 1.1, small and quick", "dog-qiuqiu/Yolo-Fastest"
    ),
    "yolo-fastest-1.1-xl": _About(
        "Yolo-Fastest 1.1 XL, quick", "dog-qiuqiu/Yolo-Fastest"
    ),
    "yolox-nano": _About(
        "YOLOX-Nano, the most accurate of the four", "Megvii-BaseDetection/YOLOX"
    ),
}


@dataclass(frozen=True, slots=True)
class Model:
    """The files of a model and what is known without loading it.

    graph: a Darknet .cfg, or an .onnx file. weights: the .weights of a .cfg, else None.
    labels: class names in order of their ids. origin: where it comes from.
    """

    name: str
    graph: Path
    weights: Path | None
    labels: tuple[str, ...]
    title: str
    origin: str

    @property
    def folder(self) -> Path:
        return self.graph.parent

    @property
    def is_darknet(self) -> bool:
        return self.weights is not None


def bundled_models() -> list[Model]:
    """Return the models that came along and are there, the default first."""
    folders = [WEIGHTS_FOLDER / name for name in _BUNDLED]
    return [_in_folder(folder) for folder in folders if folder.is_dir()]


def find_model(name_or_path: str) -> Model:
    """Return a model by name, by its folder, or by its .onnx file.

    Raises:
        UnknownModelError: there is none; the message lists the known names.
        ModelLoadError: there is one, and a part of it is missing or unreadable.
    """
    if name_or_path in _BUNDLED and (WEIGHTS_FOLDER / name_or_path).is_dir():
        return _in_folder(WEIGHTS_FOLDER / name_or_path)
    path = Path(name_or_path).expanduser() if name_or_path else WEIGHTS_FOLDER / "-"
    if path.is_dir():
        return _in_folder(path)
    if path.is_file() and path.suffix.lower() == ".onnx":
        return _in_file(path, name=path.stem)
    known = ", ".join(model.name for model in bundled_models())
    raise UnknownModelError(
        f"There is no model {name_or_path!r}; give one of {known}, a folder with "
        f"{_CFG}, {_WEIGHTS} and {_NAMES}, or an .onnx file."
    )


def read_names(path: Path) -> tuple[str, ...]:
    """Return the labels of an obj.names file, one a line, blank lines at its end off.

    Raises:
        ModelLoadError: a label is blank, or the file is not text.
    """
    try:
        content = path.read_bytes()
        text = content[: _MAX_NAMES_BYTES + 1].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(
            f"{path.name} cannot be read; save it as UTF-8 text, a label a line."
        ) from error
    if len(content) > _MAX_NAMES_BYTES:
        raise ModelLoadError(f"{path.name} is too big for a list of labels.")
    return tuple(_labels(text.rstrip().splitlines(), path.name))


def _labels(lines: list[str], file_name: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield clean_label(line.strip())
        except ValueError:
            raise ModelLoadError(
                f"{file_name} has no label on line {number}; every class needs one."
            ) from None


def _in_folder(folder: Path) -> Model:
    name = folder.resolve().name
    graph, weights = folder / _CFG, folder / _WEIGHTS
    if not graph.is_file():
        found = sorted(folder.glob("*.onnx"))
        if len(found) == 1:
            return _in_file(found[0], name=name)
    missing = [one for one in (_CFG, _WEIGHTS, _NAMES) if not (folder / one).is_file()]
    if missing:
        raise ModelLoadError(
            f"The model folder {name} has no {', no '.join(missing)}; it needs {_CFG}, "
            f"{_WEIGHTS} and {_NAMES}, or one .onnx file."
        )
    about = _about(folder, name)
    return Model(name, graph, weights, read_names(folder / _NAMES), *about)


def _in_file(path: Path, *, name: str) -> Model:
    beside = [path.with_suffix(".names"), path.parent / _NAMES]
    names = next((one for one in beside if one.is_file()), None)
    labels = read_names(names) if names else labels_of(read_onnx(path.read_bytes()))
    if not labels:
        raise ModelLoadError(
            f"{path.name} does not name its labels; put them into {_NAMES} beside it, "
            "one a line."
        )
    return Model(name, path, None, labels, *_about(path.parent, name))


def _about(folder: Path, name: str) -> _About:
    is_bundled = folder.resolve().parent == WEIGHTS_FOLDER.resolve()
    return _BUNDLED[name] if is_bundled and name in _BUNDLED else _About(name, "")
