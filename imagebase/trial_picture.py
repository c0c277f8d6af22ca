"""What a model's dry run found, as boxes and as a picture to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.detection.candidates import select
from imagebase.drawing import draw_annotations
from imagebase.images import encode_jpeg, load_image, resized
from imagebase.settings import Limits
from imagebase.suggestions import as_annotations
from imagebase.tiles import inner_size

if TYPE_CHECKING:
    from imagebase.detection.doctor import Trial

CONFIDENCE: Final = 0.25
NMS: Final = 0.45


def boxes_of(tried: "Trial", labels: Sequence[str]) -> list[Annotation]:
    """Return what a dry run found under the usual thresholds, best first."""
    found = select(tried.candidates, confidence_threshold=CONFIDENCE, nms_threshold=NMS)
    return as_annotations(found, model_labels=labels, model_id="trial")


def draw_trial(
    boxes: Sequence[Annotation],
    picture: Path,
    *,
    labels: Sequence[str],
    longest_side: int = 1_600,
) -> bytes:
    """Return the picture as a JPEG with these boxes on it.

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
    return encode_jpeg(drawn, quality=90)
