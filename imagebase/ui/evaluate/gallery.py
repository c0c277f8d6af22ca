"""Galleries of an evaluation: mistakes, confusions, likely label errors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import streamlit as st

from imagebase.annotation import Annotation, Box, LabelSet, Size, Source
from imagebase.errors import ImageBaseError, ImageFileError
from imagebase.evaluation.arrays import EvaluatedImage, Truth
from imagebase.evaluation.comparison import (
    ImageChange,
    Standing,
    clicks_per_image,
    compared,
    image_changes,
)
from imagebase.evaluation.error_types import (
    MISTAKES,
    Fate,
    Mistake,
    Verdicts,
    boxes_of_mistakes,
    found_box,
    in_words,
    listed,
    object_box,
)
from imagebase.evaluation.label_errors import Sign, Suspect
from imagebase.evaluation.report import short, signed
from imagebase.evaluation.storage import RunInfo
from imagebase.images.decode import LoadedImage, load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import crop, inner_size
from imagebase.store import Scope
from imagebase.ui import cache, services, state, widgets
from imagebase.ui.evaluate import result_figures, run_data

PAGE_SIZE: Final = 12
COLUMNS: Final = 4
# A cut-out holds the box and this much of what is around it.
_AROUND: Final = 0.8
_LEAST_SHARE: Final = 0.3
_NAME_LETTERS: Final = 20


@dataclass(frozen=True, slots=True)
class Card:
    """A picture of one image with some boxes, and what is to be said of it.

    focus: what the picture is cut out around; None shows the whole.
    """

    image: EvaluatedImage
    boxes: tuple[Annotation, ...]
    words: str
    focus: Box | None = None


def card_of(verdicts: Verdicts, mistake: Mistake) -> Card:
    """Return the card of one mistake: truth solid, detection dashed."""
    boxes = []
    if mistake.object is not None:
        boxes.append(object_box(verdicts, mistake.object))
    if mistake.found is not None:
        boxes.append(found_box(verdicts, mistake.found))
    return Card(
        verdicts.truth.images[mistake.image],
        tuple(boxes),
        in_words(verdicts, mistake),
        around(one.box for one in boxes),
    )


def around(boxes: Iterable[Box]) -> Box | None:
    """Return the box that holds all of these; None for none."""
    known = list(boxes)
    if not known:
        return None
    return Box(
        min(one.x_min for one in known),
        min(one.y_min for one in known),
        max(one.x_max for one in known),
        max(one.y_max for one in known),
    )


def grid(cards: Sequence[Card], *, key: str, columns: int = COLUMNS) -> None:
    """Draw a page of cards; a press on a name opens the image in the editor."""
    shown = widgets.page_of(cards, page_size=PAGE_SIZE, key=f"{key}.page")
    labels = services.store().labels(state.scope())
    for start in range(0, len(shown), columns):
        cells = st.columns(columns, gap="small")
        for place, (cell, card) in enumerate(
            zip(cells, shown[start : start + columns], strict=False), start=start
        ):
            with cell.container(gap=None):
                _draw(card, labels, key=f"{key}.{place}")


def _draw(card: Card, labels: LabelSet, *, key: str) -> None:
    image = card.image
    try:
        url = _picture(state.scope(), card, labels)
    except ImageFileError as error:
        st.caption(widgets.escape(str(error)))
        return
    except ImageBaseError:
        st.caption(
            f"{widgets.escape(widgets.short_name(image.name))} is not in the dataset "
            "any more."
        )
        return
    st.image(url, width="stretch", alt=image.name)
    st.button(
        widgets.escape(widgets.short_name(image.name, longest=_NAME_LETTERS)),
        key=f"{key}.{image.image_id}",
        type="tertiary",
        icon=":material/edit:",
        help=f"{widgets.escape(image.name)}: open in the editor. The truth may be what "
        "is wrong.",
        on_click=widgets.open_in_editor,
        args=(image.image_id,),
    )
    st.caption(widgets.escape(card.words))


def _picture(scope: Scope, card: Card, labels: LabelSet) -> str:
    """Return the cut-out with its boxes as a tile in a data URL."""
    image = card.image
    loaded = load_image(
        cache.display_picture(scope.owner_id, scope.dataset_id, image.image_id),
        file_name=image.name,
        max_pixels=cache.DISPLAY_PX**2,
    )
    region = _region(image.size, card.focus)
    cut = crop(LoadedImage(loaded.rgb, image.size), region)
    size = Size(max(round(region.width), 1), max(round(region.height), 1))
    small = resized(cut, inner_size(size, cache.TILE))
    drawn = draw_annotations(
        small,
        [_moved(one, region) for one in card.boxes],
        labels=labels,
        from_size=size,
    )
    return cache.tile_url(drawn)


def _region(size: Size, focus: Box | None) -> Box:
    """Return what part of an image to show: around the focus, not too small."""
    if focus is None:
        return Box(0, 0, *size)
    width = max(focus.width * (1 + 2 * _AROUND), size.width * _LEAST_SHARE)
    height = max(focus.height * (1 + 2 * _AROUND), size.height * _LEAST_SHARE)
    left = (focus.x_min + focus.x_max - width) / 2
    top = (focus.y_min + focus.y_max - height) / 2
    return Box(left, top, left + width, top + height).clipped(size)


def _moved(annotation: Annotation, region: Box) -> Annotation:
    left, top, right, bottom = annotation.box
    x, y = region.x_min, region.y_min
    return replace(annotation, box=Box(left - x, top - y, right - x, bottom - y))


def choose_model(specs: Sequence[str], *, key: str) -> int:
    """Draw the choice of one of a run's models; return its place."""
    if len(specs) == 1:
        return 0
    chosen: str = st.segmented_control(
        "Model",
        list(specs),
        default=specs[0],
        required=True,
        key=key,
        label_visibility="collapsed",
    )
    return list(specs).index(chosen)


_WORDS: Final = {
    Fate.MISSED: "missed",
    Fate.FALSE_ALARM: "false alarms",
    Fate.MIX_UP: "mix-ups",
    Fate.LOOSE: "loose boxes",
}
_ANY: Final = "any label"


def draw_mistakes(run_id: str, threshold: float) -> None:
    """Draw what a model got wrong, the worst first, truth solid, detections dashed."""
    fared = run_data.standings(run_id, threshold)
    place = choose_model(
        [one.spec for one in fared], key=f"evaluate.mistakes_of.{run_id}"
    )
    told = fared[place].verdicts
    left, right = st.columns([4, 2], vertical_alignment="bottom")
    with left:
        fate: Fate | None = st.pills(
            "Kind",
            list(MISTAKES),
            default=MISTAKES[0],
            format_func=lambda one: f"{_WORDS[one]} {told.count(one):,}",
            key=f"evaluate.fate.{run_id}.{place}",
            label_visibility="collapsed",
        )
    label = right.selectbox(
        "Label",
        [_ANY, *told.truth.used_labels],
        key=f"evaluate.mistakes_label.{run_id}",
        label_visibility="collapsed",
    )
    found = [
        one
        for one in told.mistakes()
        if (fate is None or one.fate is fate)
        and (label == _ANY or label in told.labels_of(one))
    ]
    if not found:
        st.success("There is none of these.")
        return
    st.caption(
        "Truth is a solid line, what was found a dashed one. The worst come first."
    )
    grid(
        [card_of(told, one) for one in found],
        key=f"evaluate.mistakes.{place}.{fate}",
    )


MOST_LABELS: Final = 11
BACKGROUND: Final = "background"
_CELL: Final = "imagebase.evaluate.cell"


def draw_confusion(run_id: str, threshold: float) -> None:
    """Draw the confusion matrix of one model, and the images of the cell pressed."""
    fared = run_data.standings(run_id, threshold)
    place = choose_model(
        [one.spec for one in fared], key=f"evaluate.confusion_of.{run_id}"
    )
    standing = fared[place]
    labels = _shown_labels(standing)
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption("Press a cell to see its images.")
        key = f"evaluate.matrix.{run_id}.{place}.{threshold}"
        result_figures.matrix(
            _cells(standing, labels),
            [*(standing.truth.labels[one] for one in labels), BACKGROUND],
            key=key,
            on_pick=lambda cell: _choose(run_id, standing.spec, cell),
        )
        _say_what_is_left_out(standing, labels)
    with right:
        _images(run_id, standing)


def _shown_labels(standing: Standing) -> list[int]:
    """Return the labels most is to be said of: those with the most boxes."""
    counts = standing.verdicts.confusion()[:-1, :-1]
    told = standing.truth.boxes_by_label() * 1000 + counts.sum(axis=0)
    order = np.argsort(-told, kind="stable")[:MOST_LABELS]
    return [int(one) for one in order if told[one]]


def _cells(standing: Standing, labels: Sequence[int]) -> list[dict[str, Any]]:
    counts = standing.verdicts.confusion()
    background = len(counts) - 1
    names = [*standing.truth.labels, BACKGROUND]
    cells = []
    for actual in (*labels, background):
        total = int(counts[actual].sum())
        for said in (*labels, background):
            count = int(counts[actual, said])
            if count:
                cells.append(
                    {
                        "place": actual * len(counts) + said,
                        "actual": names[actual],
                        "said": names[said],
                        "count": count,
                        "share": count / total,
                        "is_right": actual == said,
                        "aria": f"{names[actual]} taken for {names[said]}: {count}",
                    }
                )
    return cells


def _say_what_is_left_out(standing: Standing, labels: Sequence[int]) -> None:
    rest = len(standing.truth.used_labels) - len(labels)
    if rest > 0:
        st.caption(
            f"The {len(labels)} labels with the most boxes; {rest} more are in the "
            "report and under **Mistakes**."
        )


def _choose(run_id: str, spec: str, cell: int) -> None:
    st.session_state[_CELL] = (run_id, spec, cell)


def _images(run_id: str, standing: Standing) -> None:
    chosen_run, spec, cell = st.session_state.get(_CELL, ("", "", 0))
    if (chosen_run, spec) != (run_id, standing.spec):
        st.info(
            "The diagonal is what was right. The last column is what was missed, the "
            "last row what was found where nothing is."
        )
        return
    names = [*standing.truth.labels, BACKGROUND]
    actual, said = divmod(cell, len(names))
    found = standing.verdicts.of_cell(actual, said)
    st.markdown(f"**{_cell_in_words(names[actual], names[said], len(found))}**")
    cards = [card_of(standing.verdicts, one) for one in found]
    grid(cards, key="evaluate.cell", columns=3)


def _cell_in_words(actual: str, said: str, count: int) -> str:
    actual_name, said_name = widgets.escape(actual), widgets.escape(said)
    if actual == said:
        return f"{actual_name} found, {widgets.plural(count, 'time')}"
    if said == BACKGROUND:
        return f"{actual_name} not found, {widgets.plural(count, 'time')}"
    if actual == BACKGROUND:
        return f"{said_name} found where none is, {widgets.plural(count, 'time')}"
    return f"{actual_name} taken for {said_name}, {widgets.plural(count, 'time')}"


_SIGN_WORDS: Final = {
    Sign.MISSING: "no box where something was found",
    Sign.UNSEEN: "nothing seen in a box",
    Sign.LABEL: "another label",
    Sign.PLACE: "badly placed",
}
# What is less likely than this to be an error is not worth a look.
_LEAST_SCORE: Final = 0.15


def draw_label_errors(run_id: str) -> None:
    """Draw what may be wrong with the labels, the likeliest first."""
    run = run_data.load(run_id)
    specs = [one.spec for one in run.passes]
    chosen = tuple(specs)
    if len(specs) > 1:
        chosen = tuple(
            st.multiselect(
                "By what these models say",
                specs,
                default=specs,
                key=f"evaluate.opinions.{run_id}",
                select_all=False,
            )
        )
    found = [
        one for one in run_data.suspects(run_id, chosen) if one.score >= _LEAST_SCORE
    ]
    if not found:
        st.success("These models find nothing to doubt in the labels.")
        return
    sign = _choose_sign(found, run_id)
    shown = [one for one in found if sign is None or one.sign is sign]
    st.caption(
        "Labels are solid, what the models say is dashed. The likeliest errors come "
        "first; a model may be wrong too. Correct them on **Edit**, then run again."
    )
    grid(
        [suspect_card(run.truth, one) for one in shown], key=f"evaluate.suspects.{sign}"
    )


def _choose_sign(found: Sequence[Suspect], run_id: str) -> Sign | None:
    counts = {sign: sum(one.sign is sign for one in found) for sign in Sign}
    sign: Sign | None = st.pills(
        "Sign",
        [sign for sign in Sign if counts[sign]],
        format_func=lambda one: f"{_SIGN_WORDS[one]} {counts[one]:,}",
        key=f"evaluate.sign.{run_id}",
        label_visibility="collapsed",
    )
    return sign


def suspect_card(truth: Truth, suspect: Suspect) -> Card:
    """Return the card of a suspect, with its reason and how likely it is an error."""
    boxes = []
    if suspect.object is not None:
        row = suspect.object
        boxes.append(
            Annotation(
                Box(*truth.xyxy[row].tolist()),
                truth.labels[truth.label[row]],
                source=Source.HUMAN,
            )
        )
    if suspect.box is not None and suspect.label is not None:
        boxes.append(
            Annotation(
                suspect.box,
                suspect.label,
                source=Source.MODEL,
                confidence=suspect.confidence,
            )
        )
    likely = f"{suspect.score:.0%}".replace("%", " %")
    return Card(
        truth.images[suspect.image],
        tuple(boxes),
        f"{likely} · {suspect.reason}",
        around(one.box for one in boxes),
    )


_BETTER: Final = "better"
_WORSE: Final = "worse"


def draw_changes(run_id: str, threshold: float) -> None:
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
    st.markdown(_change_in_words(before, after, better, worse))
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
    grid([_change_card(after, one) for one in shown], key=f"evaluate.changes.{choice}")


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


def _change_in_words(
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


def _change_card(after: Standing, change: ImageChange) -> Card:
    told = after.verdicts
    ids = [one.image_id for one in after.truth.images]
    image = ids.index(change.image_id)
    mistakes = told.mistakes(image=image)
    words = listed(told, mistakes) or "nothing is wrong any more"
    return Card(
        after.truth.images[image],
        tuple(boxes_of_mistakes(told, mistakes)),
        f"{change.before:.0f} → {change.after:.0f} clicks · {words}",
    )
