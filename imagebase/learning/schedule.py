"""When a training run starts while a person labels, and what is labelled next."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# A training run needs so many approved images with so many boxes on them; the next one
# so many images more, and half as many again as the last one had.
FIRST_IMAGES: Final = 20
FIRST_BOXES: Final = 30
MORE_IMAGES: Final = 20
MORE_SHARE: Final = 0.5
# Minutes of a run, up to so many images and above.
_MINUTES: Final = ((60, 2.0), (150, 3.0))
_LONGEST_MINUTES: Final = 4.0
# Of the images that are shown next, so many are relabelled before all others.
SHOWN_NEXT: Final = 3
# A model of so few images gets better with each: the image on screen shows what the
# newest one finds. Later what was found beforehand is as good, and stays.
QUICK: Final = 10


@dataclass(frozen=True, slots=True)
class Labelled:
    """What there is to train on: approved images with boxes, and their boxes."""

    images: int
    boxes: int


def may_train(now: Labelled, *, trained_on: int = 0) -> bool:
    """Say whether a training run is worth its time.

    trained_on: how many images the last run had; 0 before the first.
    """
    if not trained_on:
        return now.images >= FIRST_IMAGES and now.boxes >= FIRST_BOXES
    return now.images - trained_on >= max(MORE_IMAGES, MORE_SHARE * trained_on)


def minutes_for(images: int) -> float:
    """Return how long to train on so many images."""
    return next((m for most, m in _MINUTES if images <= most), _LONGEST_MINUTES)


def to_relabel(
    following: Sequence[str], rest: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    """Yield the images to relabel after a refit, and whether each is shown soon.

    Args:
        following: what the person sees next, in order.
        rest: all images that are not approved.
    """
    soon = following[:SHOWN_NEXT]
    yield from ((image_id, True) for image_id in soon)
    known = set(soon)
    for image_id in (*following[SHOWN_NEXT:], *rest):
        if image_id not in known:
            known.add(image_id)
            yield image_id, False


def to_forget(examples: Mapping[str, Sequence[str]]) -> str:
    """Return the example to forget where there are too many.

    It is the oldest one whose labels others have too, so that no label is unlearned.

    Args:
        examples: the labels of each image, the oldest first; at least one.
    """
    known = Counter(label for labels in examples.values() for label in set(labels))
    return next(
        (
            image_id
            for image_id, labels in examples.items()
            if all(known[label] > 1 for label in labels)
        ),
        next(iter(examples)),
    )
