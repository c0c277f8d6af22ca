"""Recognise the part of a model that each uploaded file is, by its content."""

import codecs
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from imagebase.detection.model_files import CFG, CONVERTED, REPORTS, WEIGHTS
from imagebase.detection.taught.model import SUFFIX
from imagebase.errors import ImageBaseError
from imagebase.images.archives import (
    archive_members,
    is_archive_name,
    is_clutter,
    safe_name,
)
from imagebase.settings import Limits
from imagebase.wording import plural


class Level(StrEnum):
    """Good to know, to be looked at, or in the way of using the model."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class ModelFinding(NamedTuple):
    """One sentence for a person, and how bad it is."""

    level: Level
    text: str


def good(text: str) -> ModelFinding:
    return ModelFinding(Level.GOOD, text)


def warning(text: str) -> ModelFinding:
    return ModelFinding(Level.WARNING, text)


def bad(text: str) -> ModelFinding:
    return ModelFinding(Level.BAD, text)


class Findings(list[ModelFinding]):
    """The findings so far."""

    def good(self, text: str) -> None:
        self.append(good(text))

    def warning(self, text: str) -> None:
        self.append(warning(text))

    def bad(self, text: str) -> None:
        self.append(bad(text))

    @property
    def is_bad(self) -> bool:
        """Whether any of them is in the way."""
        return any(finding.level is Level.BAD for finding in self)


MAX_TEXT_BYTES: Final = 1_000_000
_SNIFFED: Final = 4_096
_CONTROL: Final = frozenset(range(32)) - {9, 10, 12, 13, 26}
_MARKS: Final = {
    codecs.BOM_UTF8: ("utf-8", "begins with a byte order mark"),
    codecs.BOM_UTF16_LE: ("utf-16-le", "is UTF-16 text"),
    codecs.BOM_UTF16_BE: ("utf-16-be", "is UTF-16 text"),
}


class DecodedText(NamedTuple):
    """A file's text, and oddities of its encoding."""

    text: str
    oddities: tuple[str, ...] = ()


def decoded_text(data: bytes) -> DecodedText | None:
    """Return a file as text; None where it is no text."""
    if len(data) > MAX_TEXT_BYTES:
        return None
    decoded = _decoded(data)
    if decoded is None:
        return None
    text, oddities = decoded
    if "\r" in text:
        oddities = (*oddities, "has Windows line ends")
    return DecodedText(
        text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\x1a"), oddities
    )


def _decoded(data: bytes) -> DecodedText | None:
    for mark, (encoding, what) in _MARKS.items():
        if data.startswith(mark):
            return _as(data[len(mark) :], encoding, what)
    if _is_utf16_without_mark(data):
        return _as(data, "utf-16-le", "is UTF-16 text")
    if _CONTROL & set(data[:_SNIFFED]):
        return None
    try:
        return DecodedText(data.decode("utf-8"))
    except UnicodeDecodeError:
        what = "is not UTF-8 and was read as Windows text (check ä, é and the like)"
        return _as(data, "cp1252", what) if _is_mostly_ascii(data) else None


def _as(data: bytes, encoding: str, what: str) -> DecodedText | None:
    try:
        return DecodedText(data.decode(encoding), (what,))
    except UnicodeDecodeError:
        return None


def _is_utf16_without_mark(data: bytes) -> bool:
    """Say whether every second byte is 0, as in UTF-16 of plain English."""
    head = data[:_SNIFFED]
    if len(head) < 4 or len(data) % 2:
        return False
    return not any(head[1::2]) and all(byte > 8 for byte in head[::2])


def _is_mostly_ascii(data: bytes) -> bool:
    head = data[:_SNIFFED]
    return sum(byte < 128 for byte in head) > 0.8 * len(head)


_ZIP: Final = b"PK\x03\x04"
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_PAGES: Final = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<!--")
_PICKLE: Final = b"\x80"
# The first field of every ONNX file: the version of its format.
_ONNX_TAG: Final = 0x08
_MOST_FILES: Final = 50
_MOST_HEADER_NUMBER: Final = 1_000
# A [section] alone on its line; a Markdown link is none.
_SECTION: Final = re.compile(r"\s*\[\s*\w+\s*\]\s*([#;].*)?$")
_BY_SUFFIX: Final = {".cfg": "cfg", ".weights": "weights", ".names": "names"}
_OTHER_TOOLS: Final = {
    ".h5": "a Keras file",
    ".keras": "a Keras file",
    ".tflite": "a TensorFlow Lite file",
    ".pb": "a TensorFlow file",
    ".engine": "a TensorRT engine, which fits one graphics card only",
    ".trt": "a TensorRT engine, which fits one graphics card only",
    ".mlmodel": "a Core ML file",
    ".safetensors": "a file of weights without its net",
    ".caffemodel": "a Caffe file",
    ".param": "an ncnn file",
}
_CHECKPOINTS: Final = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".torchscript"})
_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")
_TELLING: Final = frozenset({"license", "licence", "copying", "readme"})


class ModelPart(StrEnum):
    """What a file may be of a model."""

    CFG = "cfg"
    WEIGHTS = "weights"
    NAMES = "names"
    ONNX = "onnx"
    TAUGHT = "taught"


class Upload(NamedTuple):
    """A dropped file: its name and its bytes."""

    name: str
    data: bytes


@dataclass(slots=True)
class SortedUploads:
    """The uploaded files by part, and findings so far.

    licence: the text of a licence that came with them.
    """

    parts: dict[ModelPart, list[Upload]] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    licence: str = ""

    def add(self, kind: ModelPart, upload: Upload) -> None:
        self.parts.setdefault(kind, []).append(upload)

    def one(self, kind: ModelPart) -> Upload | None:
        """Return the file of a kind; None where there is none."""
        files = self.parts.get(kind)
        return files[0] if files else None


def sort_uploads(uploads: Iterable[tuple[str, bytes]], limits: Limits) -> SortedUploads:
    """Return dropped files by what they are; a zip's files are taken out of it."""
    result = SortedUploads()
    for upload in _own_parts(_unpacked(uploads, result, limits)):
        _sort(upload, result)
    _say_what_is_swapped(result)
    for kind, files in result.parts.items():
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            result.findings.bad(
                f"There are {len(files)} {kind} files ({names}); drop one model at "
                "a time."
            )
    return result


def _own_parts(uploads: list[Upload]) -> list[Upload]:
    """Return files without reports and conversions that come with a model."""
    extras = set(REPORTS)
    if {CFG, WEIGHTS} <= {upload.name for upload in uploads}:
        extras.add(CONVERTED)
    return [upload for upload in uploads if upload.name not in extras]


def _unpacked(
    uploads: Iterable[tuple[str, bytes]], result: SortedUploads, limits: Limits
) -> list[Upload]:
    files: list[Upload] = []
    for given, data in uploads:
        name = safe_name(given)
        if is_clutter(name):
            continue
        if len(data) > limits.max_model_bytes:
            result.findings.bad(
                f"{name} has {len(data) / 1e6:.0f} MB; a model may have "
                f"{limits.max_model_bytes / 1e6:.0f} MB here."
            )
        elif is_archive_name(name) and data.startswith(_ZIP) and not _is_torch(data):
            files += _members(name, data, result, limits)
        else:
            files.append(Upload(name, data))
    return files


def _members(
    name: str, data: bytes, result: SortedUploads, limits: Limits
) -> list[Upload]:
    try:
        members = archive_members(data, file_name=name, limits=limits)
        if len(members) > _MOST_FILES:
            result.findings.bad(
                f"{name} holds {plural(len(members), 'file')}; zip the "
                "model's own only."
            )
            return []
        return [
            Upload(PurePosixPath(member.name).name, member.read())
            for member in members
            if not _is_no_part(member.name)
        ]
    except ImageBaseError as error:
        result.findings.bad(str(error))
        return []


def _is_no_part(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in {".jpg", ".jpeg", ".png", ".md"}


def _sort(upload: Upload, result: SortedUploads) -> None:
    if PurePosixPath(upload.name).suffix.lower() == SUFFIX:
        result.add(ModelPart.TAUGHT, upload)  # a zip, which is parsed strictly
        return
    fault = fault_of(upload)
    if fault is not None:
        result.findings.bad(fault)
        return
    kind, path = kind_of(upload), PurePosixPath(upload.name.lower())
    if kind is ModelPart.NAMES and path.stem in _TELLING:
        text = decoded_text(upload.data)
        if not upload.name.lower().startswith("readme") and text is not None:
            result.licence = text.text.strip()
    elif kind is ModelPart.NAMES and path.suffix == ".data":
        result.findings.good(f"{upload.name} is for training and is not needed here.")
    elif kind is None:
        result.findings.bad(
            f"{upload.name} is no part of a model that is known: drop a Darknet "
            "cfg, its weights and its names, an ONNX file, or a taught .npz file."
        )
    else:
        result.add(kind, upload)


def fault_of(upload: Upload) -> str | None:
    """Return why a file cannot be a part of a model, whatever its name says."""
    name, head = upload.name, upload.data[:_SNIFFED]
    suffix = PurePosixPath(name).suffix.lower()
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    packed = next((kind for mark, kind in _PACKED.items() if head.startswith(mark)), "")
    if not upload.data:
        return f"{name} is empty (0 bytes): a copy or a download was cut off."
    if head.startswith(_LFS):
        return (
            f"{name} is a Git LFS pointer, not the file itself; run `git lfs pull`, or "
            "download the file by its own button."
        )
    if start.startswith(_PAGES):
        return (
            f"{name} is a web page that was saved in place of the file; download the "
            "file itself (on GitHub: Download raw file)."
        )
    if _is_checkpoint(suffix, head, upload.data):
        return (
            f"{name} is a PyTorch checkpoint: it can hold code, so it is never opened. "
            "Export it where it was trained: `yolo export model=best.pt format=onnx`, "
            "and drop the .onnx file."
        )
    if head.startswith(_ZIP):
        return (
            f"{name} is a zip saved under another name; name it .zip, or unpack it and "
            "upload its files."
        )
    if packed:
        return f"{name} is packed with {packed}; unpack it and upload its files."
    if suffix in _OTHER_TOOLS or head.startswith(b"\x89HDF") or head[4:8] == b"TFL3":
        what = _OTHER_TOOLS.get(suffix, "a file of another tool")
        return f"{name} is {what}; export the model to ONNX and drop that."
    if head.startswith(_PICTURES):
        return f"{name} is an image, not a part of a model."
    return None


def _is_checkpoint(suffix: str, head: bytes, data: bytes) -> bool:
    if suffix in _CHECKPOINTS or _is_torch(data):
        return True
    return head.startswith(_PICKLE) and head[1:2] in {b"\x02", b"\x03", b"\x04"}


def _is_torch(data: bytes) -> bool:
    """Say whether a zip is one that PyTorch writes; only its list of names is read."""
    if not data.startswith(_ZIP):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    # A broken zip raises struct.error, ValueError and others too.
    except Exception:
        return False


def kind_of(upload: Upload) -> ModelPart | None:
    """Return what a file is by its content; its name decides only between texts."""
    suffix = PurePosixPath(upload.name).suffix.lower()
    text = decoded_text(upload.data)
    if text is not None:
        is_cfg = any(_SECTION.match(line) for line in text.text.splitlines())
        return ModelPart.CFG if is_cfg or suffix == ".cfg" else ModelPart.NAMES
    if suffix == ".onnx":
        return ModelPart.ONNX
    if _has_weights_header(upload.data) or suffix == ".weights":
        return ModelPart.WEIGHTS
    return ModelPart.ONNX if upload.data[0] == _ONNX_TAG else None


def _has_weights_header(data: bytes) -> bool:
    """Say whether the file begins with Darknet's version: three small numbers."""
    numbers = [int.from_bytes(data[i : i + 4], "little") for i in (0, 4, 8)]
    return len(data) >= 16 and all(number < _MOST_HEADER_NUMBER for number in numbers)


def _say_what_is_swapped(result: SortedUploads) -> None:
    for kind, files in result.parts.items():
        for upload in files:
            meant = _BY_SUFFIX.get(PurePosixPath(upload.name).suffix.lower())
            if meant not in {None, str(kind)}:
                result.findings.warning(
                    f"{upload.name} holds the {kind}: the files are swapped, and "
                    "each is read by its content."
                )


def missing_parts(parts: Sequence[ModelPart]) -> list[str]:
    """Return what a Darknet model still needs, in words."""
    words = {
        ModelPart.CFG: "the cfg (its layers)",
        ModelPart.WEIGHTS: "the weights",
        ModelPart.NAMES: "the names (a label a line)",
    }
    return [word for kind, word in words.items() if kind not in parts]
