"""The text of the offer for similar boxes."""

import pytest

from imagebase.annotation import Box, Size
from imagebase.review.similar_boxes import Correction, Estimate, Example
from imagebase.store import Scope
from imagebase.store.annotation_rows import BoxKey
from imagebase.ui import similar_offer
from imagebase.ui.identity import TEAM_OWNER
from imagebase.ui.similar_offer import words
from tests.app_fixtures import Tab, add_photographs, store

EXAMPLE = Example(BoxKey("i", "a"), Box(1, 2, 3, 4), Size(64, 48))


@pytest.mark.parametrize(
    ("became", "found", "said"),
    [
        (
            None,
            Estimate(63, 70, is_gathered=True),
            "**63 other images** have a **logo** box at the same place where you "
            "deleted one.",
        ),
        (
            None,
            Estimate(1, 1, is_gathered=False),
            "**1 other image** has a **logo** box near where you deleted one.",
        ),
        (
            "b*s",
            Estimate(4, 4, is_gathered=True),
            "**4 other images** have a **logo** box at the same place where you "
            "relabelled "
            r"one **b\*s**.",
        ),
    ],
    ids=["gathered", "one", "relabelled"],
)
def test_offer_says_how_many_images_and_where(
    became: str | None, found: Estimate, said: str
) -> None:
    assert words(Correction("logo", became, (EXAMPLE,)), found) == said


def test_same_photograph_in_another_dataset_is_no_correction(labelled: Tab) -> None:
    labelled.open("edit")
    other = store().create_dataset(TEAM_OWNER, "Other", who="ann")
    add_photographs(Scope(TEAM_OWNER, other.dataset_id, "ann"))
    labelled.app.run()
    labelled.app.sidebar.selectbox[0].select(other.dataset_id).run()
    assert "**0** of 2 images approved" in labelled.progress()
    assert similar_offer._OFFER not in labelled.app.session_state
