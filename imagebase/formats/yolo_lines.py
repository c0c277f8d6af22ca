"""Lines of `class cx cy w h`, and the bundle README: what Darknet and YOLO share."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

from imagebase.annotation import Box, Size
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import ExportImage, ExportSet, FileTree
from imagebase.formats.reader import LabelReader
from imagebase.formats.shapes import OUTLINE, around, writable
from imagebase.formats.text_files import lines_of, text_of

FILE: Final = "README.md"

_DARKNET: Final = """\
# Train with Darknet

In this folder:

    darknet detector train obj.data obj.cfg yolov4-tiny.conv.29 -map

`yolov4-tiny.conv.29` are first weights, released with AlexeyAB's Darknet; without them
training begins from nothing and takes longer. `obj.cfg` is YOLOv4-tiny for {classes}.
The weights come to lie in `backup/`. {judged}
{test}
`EXPORT_REPORT.md` lists the contents of this label set.
"""
_YOLO: Final = """\
# Train with Ultralytics

In this folder:

    yolo detect train data=data.yaml model=yolo11n.pt

`yolo11n.pt` are first weights, which Ultralytics fetches; any of its detection models
will do. `data.yaml` names {classes}. {judged}
{test}
`EXPORT_REPORT.md` lists the contents of this label set.
"""
_TESTS: Final[dict[str, str]] = {
    _DARKNET: (
        "Images for a last test are in `test.txt`: name it as `valid` in `obj.data`, "
        "and run\n`darknet detector map obj.data obj.cfg backup/obj_best.weights`.\n"
    ),
    _YOLO: (
        "For a last test: `yolo detect val data=data.yaml split=test "
        "model=runs/detect/train/weights/best.pt`.\n"
    ),
}


def darknet_readme(export_set: ExportSet) -> bytes:
    """Return how to start Darknet on this set."""
    return _text(_DARKNET, export_set)


def yolo_readme(export_set: ExportSet) -> bytes:
    """Return how to start Ultralytics on this set."""
    return _text(_YOLO, export_set)


def _text(template: str, export_set: ExportSet) -> bytes:
    parts = export_set.parts
    count = len(export_set.labels)
    judged = (
        "It is judged on images that it does not train on."
        if "val" in parts
        else "There is no split: it is judged on the images that it trains on."
    )
    return template.format(
        classes="1 class" if count == 1 else f"{count} classes",
        judged=judged,
        test=_TESTS[template] if "test" in parts else "",
    ).encode()


_MILLION: Final = 1_000_000
_POSE: Final = "of a pose, the box is kept, and its key points are not"
_TRACK: Final = "track_id"
CONVENTION: Final = (
    "class cx cy w h: centre and size over width and height, six decimals, "
    "class ids from 0"
)


def label_text(image: ExportImage, class_ids: dict[str, int]) -> bytes:
    """Return an image's label file: one line a box, empty where there is none."""
    size = image.record.size
    lines = [
        f"{class_ids[annotation.label]} {relative_line(annotation.box, size)}\n"
        for annotation in writable(image)
    ]
    return "".join(lines).encode()


def relative_line(box: Box, size: Size) -> str:
    """Return `cx cy w h` whose edges, read back, stay within the image."""
    cx, width = _centre_and_side(box.x_min / size.width, box.x_max / size.width)
    cy, height = _centre_and_side(box.y_min / size.height, box.y_max / size.height)
    return " ".join(f"{value / _MILLION:.6f}" for value in (cx, cy, width, height))


def _centre_and_side(near: float, far: float) -> tuple[int, int]:
    """Return both in millionths, the side cut where rounding took it over an edge.

    A box a hair over 1.0 makes Ultralytics drop the whole file.
    """
    centre = min(max(round((near + far) / 2 * _MILLION), 1), _MILLION - 1)
    side = max(round((far - near) * _MILLION), 1)
    return centre, min(side, 2 * centre, 2 * (_MILLION - centre))


def relative_tolerance(box: Box, size: Size) -> tuple[float, float]:
    """Return a millionth of the size, two where the box is thinner than that."""
    return _tolerance(box.width, size.width), _tolerance(box.height, size.height)


def _tolerance(side: float, whole: int) -> float:
    unit = whole / _MILLION
    return (unit if side > unit else 2 * unit) + 1e-6


class KeyPoints(NamedTuple):
    """How many points of a pose follow each box, and of how many numbers each is."""

    points: int
    numbers: int


class LabelLines:
    """Reads label files one by one; labels without a list are called class_<id>."""

    def __init__(
        self,
        tree: FileTree,
        collector: LabelReader,
        names: Sequence[str] | None,
        *,
        key_points: KeyPoints | None = None,
        label_files: Sequence[str] = (),
    ) -> None:
        """Read lines with these names.

        Args:
            key_points: of the poses that follow the boxes, where the set says so.
            label_files: of the set, looked into where one line may mean two things.
        """
        self._tree = tree
        self._collector = collector
        self._names = names
        self._key_points = key_points
        self._label_files = label_files
        self._invented: list[str] = []

    def read(self, file: str, image: str) -> None:
        """Take in the boxes of one label file for an image that was added."""
        try:
            text = text_of(self._tree.read(file), file)
        except AnnotationFileError as error:
            self._collector.skip(file, "", str(error))
            return
        for index, line in enumerate(lines_of(text), start=1):
            if line.strip():
                self._read_line(line, image, file, f"line {index}")

    def _read_line(self, line: str, image: str, file: str, at: str) -> None:
        try:
            values = [_number(value) for value in line.split()]
            label = self._label(values[0])
            parsed = self._parsed(values[1:])
        except ValueError as error:
            self._collector.skip_box(file, at, f"{error}, in {line[:60]!r}")
            return
        if parsed.what == OUTLINE:
            self._collector.change(file, at, parsed.what)
        elif parsed.what:
            self._collector.change_all(file, at, parsed.what)
        self._collector.add_box(
            image,
            label,
            parsed.box,
            file=file,
            at=at,
            confidence=parsed.confidence,
            attributes={} if parsed.track is None else {_TRACK: parsed.track},
        )

    def _parsed(self, numbers: Sequence[float]) -> "_ParsedLine":
        """Return what the numbers behind a class id are.

        `cx cy w h`, and behind it the points of a pose, or those of an outline alone;
        then perhaps a confidence and the number of a track, as Ultralytics saves them.

        Raises:
            ValueError: none of these.
        """
        points = self._numbers_of_pose(numbers)
        if points:
            confidence, track = _behind(numbers[4 + points :])
            return _ParsedLine(_box_in(numbers), confidence, track, _POSE)
        if len(numbers) in (4, 5) or self._is_track(numbers):
            confidence, track = _behind(numbers[4:])
            return _ParsedLine(_box_in(numbers), confidence, track)
        *outline, last = numbers
        track = int(last) if last > 1 and not last % 1 and len(outline) >= 6 else None
        outline = outline if track is not None else list(numbers)
        confidence = outline.pop() if len(outline) % 2 else None
        if len(outline) < 6:
            many = len(numbers) + 1
            raise ValueError(f"{many} numbers are not a class id and a box")
        box = around(zip(outline[::2], outline[1::2], strict=True))
        return _ParsedLine(box, confidence, track, OUTLINE)

    def _numbers_of_pose(self, numbers: Sequence[float]) -> int:
        """Return how many numbers of key points stand behind a box; 0 for no pose."""
        rest = len(numbers) - 4
        if self._key_points is not None:
            points, numbers_each = self._key_points
            lengths = (points * numbers_each, points * 3)
            return next((n for n in lengths if 0 <= rest - n <= 2), 0)
        return rest if _shows_visibility(numbers) else 0

    def _is_track(self, numbers: Sequence[float]) -> bool:
        """Say whether six numbers are a box, a confidence and a track, no triangle."""
        if len(numbers) != 6 or numbers[5] % 1 or numbers[5] < 1:
            return False
        return numbers[5] > 1 or self._has_tracks

    @cached_property
    def _has_tracks(self) -> bool:
        """Whether a line of the set shows by its last number that there are tracks."""
        return any(map(self._shows_tracks, self._label_files))

    def _shows_tracks(self, file: str) -> bool:
        try:
            lines = lines_of(text_of(self._tree.read(file), file))
        except AnnotationFileError:
            return False
        ends = [line.split()[6] for line in lines if len(line.split()) == 7]
        return any(end.isdecimal() and len(end) < 19 and int(end) > 1 for end in ends)

    def _label(self, class_id: float) -> str:
        if not math.isfinite(class_id) or class_id != int(class_id) or class_id < 0:
            raise ValueError("the class id is not a whole number from 0")
        index = int(class_id)
        if self._names is None:
            return self._invented_name(index)
        if index >= len(self._names):
            raise ValueError(
                f"class id {index} is not among the {len(self._names)} labels listed"
            )
        return self._names[index]

    def _invented_name(self, index: int) -> str:
        """Return a name by class id, with those before it, so that ids stay."""
        if index >= self._tree.limits.max_labels:
            raise ValueError(f"class id {index} is too high to be one")
        new = [f"class_{number}" for number in range(len(self._invented), index + 1)]
        self._invented += self._collector.add_labels(new, file="")
        return self._invented[index]


class _ParsedLine(NamedTuple):
    """A parsed line. what: the change made to a shape other than a box."""

    box: Box
    confidence: float | None
    track: int | None
    what: str = ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not a number") from None


def _box_in(numbers: Sequence[float]) -> Box:
    cx, cy, width, height = numbers[:4]
    if width < 0 or height < 0:
        raise ValueError("width or height is negative")
    return Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)


def _behind(numbers: Sequence[float]) -> tuple[float | None, int | None]:
    """Return the confidence and the track that stand behind a box."""
    if not numbers:
        return None, None
    *before, last = numbers
    is_whole = math.isfinite(last) and not last % 1
    if before:
        return before[0], int(last) if is_whole else None
    return (None, int(last)) if is_whole and last > 1 else (last, None)


def _shows_visibility(numbers: Sequence[float]) -> bool:
    """Say whether a box and triples follow, each of which ends in 0, 1 or 2.

    Ultralytics' points of a pose do; of an outline, whose numbers are fractions, not.
    """
    if len(numbers) < 10 or (len(numbers) - 4) % 3 or min(numbers[2:4]) <= 0:
        return False
    visible = set(numbers[6::3])
    cx, cy, width, height = numbers[:4]
    edges = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    is_within = all(-0.01 <= edge <= 1.01 for edge in edges)
    return is_within and visible <= {0, 1, 2} and visible != {0}
