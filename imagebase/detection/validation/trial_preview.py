"""What a model's dry run found, as boxes, in words and as a picture to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.detection.candidates import select
from imagebase.detection.suggestions import as_annotations
from imagebase.detection.validation.findings import Finding, good, warning
from imagebase.images.decode import encode_jpeg, encode_png, load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size
from imagebase.settings import Limits

if TYPE_CHECKING:
    from imagebase.detection.validation import Trial

CONFIDENCE: Final = 0.25
NMS: Final = 0.45
DRAWN_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
# Signs that outputs are read the wrong way: boxes that are the image, dots, or a flood.
_WHOLE: Final = 0.98
_DOT_PX: Final = 2
_FLOOD: Final = 300


def boxes_of(tried: "Trial", labels: Sequence[str]) -> list[Annotation]:
    """Return what a dry run found under the usual thresholds, best first."""
    found = select(tried.candidates, confidence_threshold=CONFIDENCE, nms_threshold=NMS)
    return as_annotations(found, model_labels=labels, model_id="trial")


def finding_of(tried: "Trial", boxes: Sequence[Annotation], *, image: str) -> Finding:
    """Return what a dry run's boxes say of a model, good only where they look right.

    Args:
        tried: the run. boxes: from `boxes_of`.
        image: what the photograph is called.
    """
    count = f"{len(boxes)} box{'es' if len(boxes) != 1 else ''} in {image}"
    oddity = _oddity(boxes, tried.size)
    if oddity:
        return warning(f"{count}: {oddity}")
    return good(
        f"{count}, {tried.milliseconds:.0f} ms an image ({tried.runtime}, "
        f"{tried.precision})."
    )


def _oddity(boxes: Sequence[Annotation], size: Size) -> str:
    """Return what is wrong with boxes altogether; empty where nothing is."""
    misread = "its outputs may be decoded wrongly. Try another family."
    sides = [(one.box.width, one.box.height) for one in boxes]
    if not boxes:
        return (
            "the image has none of its labels, or its outputs are decoded wrongly. "
            "Try it on an image with an object that it was trained for."
        )
    if all(w >= _WHOLE * size.width and h >= _WHOLE * size.height for w, h in sides):
        return f"each is the whole image, so {misread}"
    if all(min(one) < _DOT_PX for one in sides):
        return f"each is smaller than {_DOT_PX} pixels, so {misread}"
    if len(boxes) > _FLOOD:
        return f"there are so many that {misread}"
    return ""


def draw_trial(
    boxes: Sequence[Annotation],
    picture: Path,
    *,
    labels: Sequence[str],
    longest_side: int = 1_600,
    as_png: bool = False,
) -> bytes:
    """Return the picture as a JPEG or a PNG with these boxes on it.

    longest_side: in pixels; labels are written at the size they are read at.

    Raises:
        ImageReadError, LimitError: the picture cannot be read.
    """
    loaded = load_image(
        picture.read_bytes(),
        file_name=picture.name,
        max_pixels=Limits().max_image_pixels,
    )
    shown = inner_size(loaded.size, Size(longest_side, longest_side))
    drawn = draw_annotations(
        resized(loaded.rgb, shown),
        boxes,
        labels=LabelSet.of(labels),
        from_size=loaded.size,
    )
    return encode_png(drawn) if as_png else encode_jpeg(drawn, quality=90)
