"""What a model's dry run found, as boxes and as a picture to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagebase.annotation import Annotation, LabelSet
from imagebase.detection.candidates import select
from imagebase.drawing import draw_annotations
from imagebase.images import encode_jpeg, load_image
from imagebase.settings import Limits
from imagebase.suggestions import as_annotations

if TYPE_CHECKING:
    from imagebase.detection.doctor import Trial

CONFIDENCE: Final = 0.25
NMS: Final = 0.45


def boxes_of(tried: "Trial", labels: Sequence[str]) -> list[Annotation]:
    """Return what a dry run found under the usual thresholds, best first."""
    found = select(tried.candidates, confidence_threshold=CONFIDENCE, nms_threshold=NMS)
    return as_annotations(found, model_labels=labels, model_id="trial")


def draw_trial(
    boxes: Sequence[Annotation], picture: Path, *, labels: Sequence[str]
) -> bytes:
    """Return the picture as a JPEG with these boxes on it.

    Raises:
        ImageReadError, LimitError: the picture cannot be read.
    """
    loaded = load_image(
        picture.read_bytes(),
        file_name=picture.name,
        max_pixels=Limits().max_image_pixels,
    )
    drawn = draw_annotations(
        loaded.rgb, boxes, labels=LabelSet.of(labels), from_size=loaded.size
    )
    return encode_jpeg(drawn, quality=90)
