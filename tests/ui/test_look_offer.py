"""What is said of the look-alikes on offer."""

import pytest

from imagebase.annotation import Box, Size
from imagebase.reviewing.look_search import Correction, Estimate, Example
from imagebase.store.looks import BoxKey
from imagebase.ui.look_offer import words

EXAMPLE = Example(BoxKey("i", "a"), Box(1, 2, 3, 4), Size(64, 48))


@pytest.mark.parametrize(
    ("became", "found", "said"),
    [
        (
            None,
            Estimate(63, 70, is_gathered=True),
            "**63 other images** have a **logo** at the very place where you deleted "
            "one.",
        ),
        (
            None,
            Estimate(1, 1, is_gathered=False),
            "**1 other image** has a **logo** about where you deleted one.",
        ),
        (
            "b*s",
            Estimate(4, 4, is_gathered=True),
            "**4 other images** have a **logo** at the very place where you relabelled "
            r"one **b\*s**.",
        ),
    ],
    ids=["gathered", "one", "relabelled"],
)
def test_offer_says_how_many_images_and_where(
    became: str | None, found: Estimate, said: str
) -> None:
    assert words(Correction("logo", became, (EXAMPLE,)), found) == said
