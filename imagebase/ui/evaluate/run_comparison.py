"""Two evaluations, or two models of one, compared image by image."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from imagebase.evaluation.comparison import (
    ImageChange,
    Standing,
    clicks_per_image,
    compared,
    image_changes,
)
from imagebase.evaluation.error_types import boxes_of_mistakes, listed
from imagebase.evaluation.report import short, signed
from imagebase.evaluation.storage import RunInfo
from imagebase.ui import widgets
from imagebase.ui.evaluate import gallery, run_data

_BETTER: Final = "better"
_WORSE: Final = "worse"


def draw(run_id: str, threshold: float) -> None:
    """Draw what got better and what got worse from another evaluation to this one."""
    kept = run_data.runs()
    this = next(one for one in kept if one.run_id == run_id)
    left, right = st.columns(2, gap="medium")
    with left:
        before = _choose_before(this, kept, threshold)
    with right:
        # The same model of two runs, where there are two; else two models of one.
        first = 0 if len(kept) > 1 else len(this.specs) - 1
        after = _choose_after(this, threshold, first=first)
    if before is None:
        st.info(
            "There is nothing to compare with yet. Choose two models, or correct some "
            "labels and press **Run** again."
        )
        return
    changes = image_changes(before, after)
    better = [one for one in changes if one.gained > 0]
    worse = [one for one in reversed(changes) if one.gained < 0]
    st.markdown(_in_words(before, after, better, worse))
    choice: str = st.segmented_control(
        "Which",
        [_BETTER, _WORSE],
        default=_BETTER if better or not worse else _WORSE,
        required=True,
        format_func=lambda one: f"{one} {len(better if one == _BETTER else worse):,}",
        key=f"evaluate.change.{run_id}",
        label_visibility="collapsed",
    )
    shown = better if choice == _BETTER else worse
    if not shown:
        st.success(f"No image got {choice}.")
        return
    gallery.grid([_card(after, one) for one in shown], key=f"evaluate.changes.{choice}")


def _choose_before(
    this: RunInfo, kept: Sequence[RunInfo], threshold: float
) -> Standing | None:
    """Draw the choice of what to compare with: every model of every run but one."""
    options = [
        (one.run_id, spec)
        for one in kept
        for spec in one.specs
        if one.run_id != this.run_id or len(this.specs) > 1
    ]
    if not options:
        return None
    moments = run_data.moments(kept)
    earlier = [place for place, one in enumerate(options) if one[0] != this.run_id]

    def words(option: tuple[str, str]) -> str:
        return f"{option[1]} · {moments[option[0]]}"

    run_id, spec = st.selectbox(
        "From",
        options,
        index=earlier[0] if earlier else 0,
        format_func=words,
        key=f"evaluate.before.{this.run_id}",
    )
    return _standing(run_id, spec, threshold)


def _choose_after(this: RunInfo, threshold: float, *, first: int) -> Standing:
    spec = st.selectbox(
        "To, in the evaluation shown",
        list(this.specs),
        index=first,
        key=f"evaluate.after.{this.run_id}",
    )
    return _standing(this.run_id, spec, threshold)


def _standing(run_id: str, spec: str, threshold: float) -> Standing:
    fared = run_data.standings(run_id, threshold)
    return next(one for one in fared if one.spec == spec)


def _in_words(
    before: Standing,
    after: Standing,
    better: Sequence[ImageChange],
    worse: Sequence[ImageChange],
) -> str:
    ap = f"AP {short(before.figures['AP'])} → {short(after.figures['AP'])}"
    if before.truth.images == after.truth.images:
        apart = compared(after, before)
        ap += f" ({signed(apart.value)}, {apart.in_words()})"
    clicks = f"{clicks_per_image(before):.1f} → {clicks_per_image(after):.1f}"
    return widgets.escape(
        f"{ap} · clicks an image {clicks} · "
        f"{widgets.plural(len(better), 'image')} better, {len(worse):,} worse"
    )


def _card(after: Standing, change: ImageChange) -> gallery.Card:
    told = after.verdicts
    ids = [one.image_id for one in after.truth.images]
    image = ids.index(change.image_id)
    mistakes = told.mistakes(image=image)
    words = listed(told, mistakes) or "nothing is wrong any more"
    return gallery.Card(
        after.truth.images[image],
        tuple(boxes_of_mistakes(told, mistakes)),
        f"{change.before:.0f} → {change.after:.0f} clicks · {words}",
    )
