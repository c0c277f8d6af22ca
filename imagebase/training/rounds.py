"""Training again as a dataset grows: who was held out stays held out.

A model that begins from the last one has seen what that one learned from; an AP on such
images would flatter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imagebase.formats.split import SplitImage, split_by_shares
from imagebase.images.quality import near_duplicates
from imagebase.training.training_set import SHARES, TRAIN

# After so many approved images that the last one does not know it is worth a new one.
AGAIN_AFTER: Final = 50
# AP50 moves by less from one training to the next without a reason.
WORSE_BY: Final = 0.01
# A model below this AP50 finds next to nothing.
POOR_AP50: Final = 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """One training of a dataset, as its result tells.

    ap50: on the held-out images of then; interval: where 95 % of the draws lie.
    base: the model it began from; base_ap50: that one's, on the same images.
    """

    job_id: str
    model: str
    ap50: float | None
    interval: tuple[float, float] | None
    images: int
    minutes: float
    base: str = ""
    base_ap50: float | None = None

    @property
    def change(self) -> float | None:
        """AP50 minus that of the model it began from, on the same images."""
        if self.ap50 is None or self.base_ap50 is None:
            return None
        return self.ap50 - self.base_ap50

    @property
    def is_worse(self) -> bool:
        """Say whether its model is worse than the one that it began from."""
        return self.change is not None and self.change < -WORSE_BY

    @property
    def is_poor(self) -> bool:
        """Say whether its model is worse, or finds next to nothing."""
        return self.is_worse or (self.ap50 is not None and self.ap50 < POOR_AP50)

    @classmethod
    def of_result(cls, job_id: str, result: Mapping[str, Any]) -> "Round":
        """Return the round that a finished training's result tells of."""
        metrics = result["metrics"]
        around = metrics["AP50_interval"]
        return cls(
            job_id,
            result["model"],
            metrics["AP50"],
            (around[0], around[1]) if around else None,
            metrics["images"]["train"],
            metrics["minutes"],
            metrics.get("base", ""),
            metrics.get("base_AP50"),
        )


def model_to_use(last: Round) -> str:
    """Return the model to go on with: the last training's, or its base if worse."""
    return last.base if last.is_worse else last.model


def next_parts(
    images: Sequence[SplitImage], before: Mapping[str, str], *, seed: int = 0
) -> dict[str, str]:
    """Return the part of each image: known ones as before, new ones by shares.

    A near-duplicate of a known image goes with it.
    """
    known = {
        one.image_id: before[one.image_id] for one in images if one.image_id in before
    }
    parts = dict(known)
    hashes = {
        one.image_id: one.difference_hash
        for one in images
        if one.difference_hash is not None
    }
    for group in near_duplicates(hashes):
        part = next((known[one] for one in group if one in known), None)
        if part is not None:
            parts.update({one: parts.get(one, part) for one in group})
    fresh = [one for one in images if one.image_id not in parts]
    if fresh:
        parts |= split_by_shares(fresh, SHARES, seed=seed).part_of
    if TRAIN not in parts.values():
        return dict.fromkeys(parts, TRAIN)
    return parts


def news_since(known: Mapping[str, str], approved: Sequence[str]) -> int:
    """Return how many approved images are not among those that a training knew."""
    return sum(one not in known for one in approved)
