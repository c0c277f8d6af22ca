"""The truth of a dataset: what people approved."""

import re
from collections import Counter
from collections.abc import Sequence

from imagebase.annotation import ImageRecord, LabelSet, Source
from imagebase.errors import EvaluationError
from imagebase.evaluation.label_files import truth_of
from imagebase.evaluation.values import EvaluatedImage, Truth

# From this share on a model's own boxes are worth a word.
_WORTH_SAYING = 0.2
_CHECKSUM = re.compile(r"-[0-9a-f]{12}$")


def truth_of_records(records: Sequence[ImageRecord], labels: LabelSet) -> Truth:
    """Return the boxes of reviewed images; one without boxes holds nothing to find.

    What a model finds in an ignore area is neither right nor wrong.

    Raises:
        EvaluationError: there is no image to judge by, or no box on any.
    """
    if not any(record.annotations for record in records):
        raise EvaluationError(
            "There is nothing to judge by: approve some images with boxes first."
        )
    names = tuple(
        dict.fromkeys(
            [*labels.names, *(name for record in records for name in record.labels)]
        )
    )
    places = {name: place for place, name in enumerate(names)}
    boxes = [
        (image, one)
        for image, record in enumerate(records)
        for one in record.annotations
    ]
    return truth_of(
        names,
        [EvaluatedImage(one.image_id, one.file_name, one.size) for one in records],
        [
            (image, places[one.label], one.box, one.box.area, False)
            for image, one in boxes
        ],
        box_ids=[one.annotation_id for _, one in boxes],
    ).with_areas([one.ignored for one in records])


def notes_about(records: Sequence[ImageRecord]) -> tuple[str, ...]:
    """Return what to know of a truth that a model had a hand in.

    A box that a person accepted as a model drew it fits that model to the pixel.
    """
    boxes = [one for record in records for one in record.annotations]
    made = Counter(_title(one.model_id) for one in boxes if one.source is Source.MODEL)
    return tuple(
        f"{count:,} of the {len(boxes):,} boxes are {title}'s own, approved as it "
        "drew them: they favour that model."
        for title, count in made.most_common(2)
        if count >= _WORTH_SAYING * len(boxes)
    )


def _title(model_id: str | None) -> str:
    """Return what a person calls a model: its id without the checksum at its end."""
    return _CHECKSUM.sub("", model_id) if model_id else "a model"
