"""Galleries of an evaluation: mistakes, confusions, label errors, changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import streamlit as st

from imagebase.annotation import Annotation, Box, LabelSet, Size, Source
from imagebase.errors import ImageBaseError, ImageFileError
from imagebase.evaluation.arrays import EvaluatedImage, Truth
from imagebase.evaluation.comparison import (
    ClickChange,
    ModelResult,
    clicks_per_image,
    compared,
    image_changes,
)
from imagebase.evaluation.error_types import (
    MISTAKES,
    Mistake,
    Outcome,
    Outcomes,
    boxes_of_mistakes,
    found_box,
    in_words,
    listed,
    object_box,
)
from imagebase.evaluation.figures import BACKGROUND, confused_labels, short, signed
from imagebase.evaluation.label_errors import Sign, Suspect
from imagebase.evaluation.storage import SavedRun
from imagebase.images.decode import LoadedImage, load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import crop, inner_size
from imagebase.store import Scope
from imagebase.ui import cache, services, state, widgets
from imagebase.ui.evaluate import result_figures, run_data
from imagebase.wording import percent

PAGE_SIZE: Final = 12
COLUMNS: Final = 4
# Margin around the boxes in a crop, as a share of their size.
_AROUND: Final = 0.8
_LEAST_SHARE: Final = 0.3
_NAME_LETTERS: Final = 20


@dataclass(frozen=True, slots=True)
class Card:
    """A thumbnail of one image with some boxes and a caption.

    focus: the region the thumbnail is cropped around; None shows the whole image.
    """

    image: EvaluatedImage
    boxes: tuple[Annotation, ...]
    words: str
    focus: Box | None = None


def card_of(outcomes: Outcomes, mistake: Mistake) -> Card:
    """Return the card of one mistake: truth solid, detection dashed."""
    boxes = []
    if mistake.object is not None:
        boxes.append(object_box(outcomes, mistake.object))
    if mistake.found is not None:
        boxes.append(found_box(outcomes, mistake.found))
    return Card(
        outcomes.truth.images[mistake.image],
        tuple(boxes),
        in_words(outcomes, mistake),
        around(box.box for box in boxes),
    )


def around(boxes: Iterable[Box]) -> Box | None:
    """Return the box that holds all of these; None for none."""
    known = list(boxes)
    if not known:
        return None
    return Box(
        min(box.x_min for box in known),
        min(box.y_min for box in known),
        max(box.x_max for box in known),
        max(box.y_max for box in known),
    )


def grid(cards: Sequence[Card], *, key: str, columns: int = COLUMNS) -> None:
    """Draw a page of cards; a click on a name opens the image in the editor."""
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
            f"{widgets.escape(widgets.short_name(image.name))} was deleted from the "
            "dataset."
        )
        return
    st.image(url, width="stretch", alt=image.name)
    st.button(
        widgets.escape(widgets.short_name(image.name, longest=_NAME_LETTERS)),
        key=f"{key}.{image.image_id}",
        type="tertiary",
        icon=":material/edit:",
        help=f"{widgets.escape(image.name)}: open in the editor. The label itself may "
        "be wrong.",
        on_click=widgets.open_in_editor,
        args=(image.image_id,),
    )
    st.caption(widgets.escape(card.words))


def _picture(scope: Scope, card: Card, labels: LabelSet) -> str:
    """Return the crop with its boxes as a tile in a data URL."""
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
        [_moved(box, region) for box in card.boxes],
        labels=labels,
        from_size=size,
    )
    return cache.tile_url(drawn)


def _region(size: Size, focus: Box | None) -> Box:
    """Return the part of an image to show: around the focus, not too small."""
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
    """Draw the choice of one of a run's models; return its index."""
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
    Outcome.MISSED: "missed",
    Outcome.FALSE_ALARM: "false detections",
    Outcome.MIX_UP: "wrong labels",
    Outcome.LOOSE: "loose boxes",
}
_ANY: Final = "any label"


def draw_mistakes(run_id: str, threshold: float) -> None:
    """Draw a model's mistakes, worst first: labels solid, detections dashed."""
    results = run_data.results(run_id, threshold)
    place = choose_model(
        [result.spec for result in results], key=f"evaluate.mistakes_of.{run_id}"
    )
    outcomes = results[place].outcomes
    left, right = st.columns([4, 2], vertical_alignment="bottom")
    with left:
        outcome: Outcome | None = st.pills(
            "Kind",
            list(MISTAKES),
            default=MISTAKES[0],
            format_func=lambda kind: f"{_WORDS[kind]} {outcomes.count(kind):,}",
            key=f"evaluate.outcome.{run_id}.{place}",
            label_visibility="collapsed",
        )
    label = right.selectbox(
        "Label",
        [_ANY, *outcomes.truth.used_labels],
        key=f"evaluate.mistakes_label.{run_id}",
        label_visibility="collapsed",
    )
    mistakes = [
        mistake
        for mistake in outcomes.mistakes()
        if (outcome is None or mistake.outcome is outcome)
        and (label == _ANY or label in outcomes.labels_of(mistake))
    ]
    if not mistakes:
        st.success("No mistakes of this kind.")
        return
    st.caption("Solid: ground truth. Dashed: detections. Worst first.")
    grid(
        [card_of(outcomes, mistake) for mistake in mistakes],
        key=f"evaluate.mistakes.{place}.{outcome}",
    )


MOST_LABELS: Final = 11
_CELL: Final = "imagebase.evaluate.cell"


def draw_confusion(run_id: str, threshold: float) -> None:
    """Draw the confusion matrix of one model, and the images of the clicked cell."""
    results = run_data.results(run_id, threshold)
    place = choose_model(
        [result.spec for result in results], key=f"evaluate.confusion_of.{run_id}"
    )
    result = results[place]
    labels = confused_labels(result, most=MOST_LABELS)
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption("Click a cell to see its images.")
        key = f"evaluate.matrix.{run_id}.{place}.{threshold}"
        result_figures.matrix(
            _cells(result, labels),
            [*(result.truth.labels[label] for label in labels), BACKGROUND],
            key=key,
            on_pick=lambda cell: _choose(run_id, result.spec, cell),
        )
        _draw_omitted(result, labels)
    with right:
        _images(run_id, result)


def _cells(result: ModelResult, labels: Sequence[int]) -> list[dict[str, Any]]:
    counts = result.outcomes.confusion()
    background = len(counts) - 1
    names = [*result.truth.labels, BACKGROUND]
    cells = []
    for actual in (*labels, background):
        total = int(counts[actual].sum())
        for predicted in (*labels, background):
            count = int(counts[actual, predicted])
            if count:
                cells.append(
                    {
                        "place": actual * len(counts) + predicted,
                        "actual": names[actual],
                        "predicted": names[predicted],
                        "count": count,
                        "share": count / total,
                        "is_right": actual == predicted,
                        "aria": f"{names[actual]} detected as {names[predicted]}: "
                        f"{count}",
                    }
                )
    return cells


def _draw_omitted(result: ModelResult, labels: Sequence[int]) -> None:
    rest = len(result.truth.used_labels) - len(labels)
    if rest > 0:
        st.caption(
            f"Shows the {len(labels)} labels with the most boxes; {rest} more are in "
            "the report and under **Mistakes**."
        )


def _choose(run_id: str, spec: str, cell: int) -> None:
    st.session_state[_CELL] = (run_id, spec, cell)


def _images(run_id: str, result: ModelResult) -> None:
    chosen_run, spec, cell = st.session_state.get(_CELL, ("", "", 0))
    if (chosen_run, spec) != (run_id, result.spec):
        st.info(
            "Diagonal: correct. Last column: missed objects. Last row: false "
            "detections."
        )
        return
    names = [*result.truth.labels, BACKGROUND]
    actual, predicted = divmod(cell, len(names))
    mistakes = result.outcomes.of_cell(actual, predicted)
    st.markdown(f"**{_cell_in_words(names[actual], names[predicted], len(mistakes))}**")
    cards = [card_of(result.outcomes, mistake) for mistake in mistakes]
    grid(cards, key="evaluate.cell", columns=3)


def _cell_in_words(actual: str, predicted: str, count: int) -> str:
    actual_name, predicted_name = widgets.escape(actual), widgets.escape(predicted)
    if actual == predicted:
        return f"{actual_name} detected correctly: {count:,}"
    if predicted == BACKGROUND:
        return f"{actual_name} missed: {count:,}"
    if actual == BACKGROUND:
        return f"{predicted_name} detected where there is none: {count:,}"
    return f"{actual_name} detected as {predicted_name}: {count:,}"


_SIGN_WORDS: Final = {
    Sign.MISSING: "possibly missing box",
    Sign.UNSEEN: "box without a detection",
    Sign.LABEL: "different label",
    Sign.PLACE: "inaccurate box",
}
# Labels less likely than this to be wrong are not shown.
_LEAST_SCORE: Final = 0.15


def draw_label_errors(run_id: str) -> None:
    """Draw likely label errors, most likely first."""
    run = run_data.load(run_id)
    specs = [passed.spec for passed in run.passes]
    chosen = tuple(specs)
    if len(specs) > 1:
        chosen = tuple(
            st.multiselect(
                "Compare labels with",
                specs,
                default=specs,
                key=f"evaluate.opinions.{run_id}",
                select_all=False,
            )
        )
    suspects = [
        suspect
        for suspect in run_data.suspects(run_id, chosen)
        if suspect.score >= _LEAST_SCORE
    ]
    if not suspects:
        st.success("No likely label errors found.")
        return
    sign = _choose_sign(suspects, run_id)
    shown = [suspect for suspect in suspects if sign in (None, suspect.sign)]
    st.caption(
        "Solid: labels. Dashed: detections. Most likely errors first; the model may be "
        "wrong too. Correct labels on **Edit**, then click **Run** again."
    )
    grid(
        [suspect_card(run.truth, suspect) for suspect in shown],
        key=f"evaluate.suspects.{sign}",
    )


def _choose_sign(suspects: Sequence[Suspect], run_id: str) -> Sign | None:
    counts = {sign: sum(suspect.sign is sign for suspect in suspects) for sign in Sign}
    sign: Sign | None = st.pills(
        "Sign",
        [sign for sign in Sign if counts[sign]],
        format_func=lambda kind: f"{_SIGN_WORDS[kind]} {counts[kind]:,}",
        key=f"evaluate.sign.{run_id}",
        label_visibility="collapsed",
    )
    return sign


def suspect_card(truth: Truth, suspect: Suspect) -> Card:
    """Return the card of a suspect, with its probability of being an error."""
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
    likely = percent(suspect.score)
    return Card(
        truth.images[suspect.image],
        tuple(boxes),
        f"{likely} · {suspect.reason}",
        around(box.box for box in boxes),
    )


_BETTER: Final = "better"
_WORSE: Final = "worse"


def draw_changes(run_id: str, threshold: float) -> None:
    """Draw the images that got better or worse since another evaluation."""
    runs = run_data.runs()
    this = next(run for run in runs if run.run_id == run_id)
    left, right = st.columns(2, gap="medium")
    with left:
        before = _choose_before(this, runs, threshold)
    with right:
        # The same model of two runs, where there are two; else two models of one.
        first = 0 if len(runs) > 1 else len(this.specs) - 1
        after = _choose_after(this, threshold, first=first)
    if before is None:
        st.info(
            "Nothing to compare yet. Select two models, or correct some labels and "
            "click **Run** again."
        )
        return
    changes = image_changes(before, after)
    better = [change for change in changes if change.gained > 0]
    worse = [change for change in reversed(changes) if change.gained < 0]
    st.markdown(_change_in_words(before, after, better, worse))
    counts = {_BETTER: len(better), _WORSE: len(worse)}
    choice: str = st.segmented_control(
        "Which",
        [_BETTER, _WORSE],
        default=_BETTER if better or not worse else _WORSE,
        required=True,
        format_func=lambda name: f"{name} {counts[name]:,}",
        key=f"evaluate.change.{run_id}",
        label_visibility="collapsed",
    )
    shown = better if choice == _BETTER else worse
    if not shown:
        st.success(f"No image got {choice}.")
        return
    grid(
        [_change_card(after, change) for change in shown],
        key=f"evaluate.changes.{choice}",
    )


def _choose_before(
    this: SavedRun, runs: Sequence[SavedRun], threshold: float
) -> ModelResult | None:
    options = [
        (run.run_id, spec)
        for run in runs
        for spec in run.specs
        if run.run_id != this.run_id or len(this.specs) > 1
    ]
    if not options:
        return None
    moments = run_data.moments(runs)
    earlier = [
        place for place, option in enumerate(options) if option[0] != this.run_id
    ]

    def words(option: tuple[str, str]) -> str:
        return f"{option[1]} · {moments[option[0]]}"

    run_id, spec = st.selectbox(
        "Before",
        options,
        index=earlier[0] if earlier else 0,
        format_func=words,
        key=f"evaluate.before.{this.run_id}",
    )
    return _result(run_id, spec, threshold)


def _choose_after(this: SavedRun, threshold: float, *, first: int) -> ModelResult:
    spec = st.selectbox(
        "After: the selected evaluation",
        list(this.specs),
        index=first,
        key=f"evaluate.after.{this.run_id}",
    )
    return _result(this.run_id, spec, threshold)


def _result(run_id: str, spec: str, threshold: float) -> ModelResult:
    results = run_data.results(run_id, threshold)
    return next(result for result in results if result.spec == spec)


def _change_in_words(
    before: ModelResult,
    after: ModelResult,
    better: Sequence[ClickChange],
    worse: Sequence[ClickChange],
) -> str:
    ap = f"AP {short(before.figures['AP'])} → {short(after.figures['AP'])}"
    if before.truth.images == after.truth.images:
        apart = compared(after, before)
        ap += f" ({signed(apart.value)}, {apart.in_words()})"
    clicks = f"{clicks_per_image(before):.1f} → {clicks_per_image(after):.1f}"
    return widgets.escape(
        f"{ap} · clicks per image {clicks} · "
        f"{widgets.plural(len(better), 'image')} better, {len(worse):,} worse"
    )


def _change_card(after: ModelResult, change: ClickChange) -> Card:
    outcomes = after.outcomes
    ids = [each.image_id for each in after.truth.images]
    image = ids.index(change.image_id)
    mistakes = outcomes.mistakes(image=image)
    words = listed(outcomes, mistakes) or "no mistakes left"
    return Card(
        after.truth.images[image],
        tuple(boxes_of_mistakes(outcomes, mistakes)),
        f"{change.before:.0f} → {change.after:.0f} clicks · {words}",
    )
