"""Suggestions of many images: looked over a page at a time, approved as shown."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import streamlit as st

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, ReviewStatus
from imagebase.annotation.states import UNDECIDED
from imagebase.editing.records import checked_box, checked_label
from imagebase.errors import EditError
from imagebase.images.thumbnails import is_placeholder
from imagebase.learning.choice import Found
from imagebase.review.bulk_edits import ShownImage, approve_as_shown
from imagebase.store.learning import LearningState
from imagebase.ui import (
    bulk_progress,
    cache,
    learned_boxes,
    services,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.edit.sightings import RULES
from imagebase.ui.review import actions, filters

HOW: Final = (
    "Click a wrong box to remove it, click a missed object to add a box, or drag to "
    "draw one. Then approve the whole page with one click."
)
# A page has as many images as are approved, so that the first ones teach the next.
FEWEST: Final = 6
MOST: Final = 24
KEY: Final = "review.proofs"
_PAGE: Final = "imagebase.review.proofs"
_LEFT: Final = "imagebase.review.left_out"
_POLL_SECONDS: Final = 1.0
_MOST_LABELS: Final = 12
_MOST_KNOWN: Final = 200
_SCRIPTS: Final = ("boxes.js", "pointing.js", "proofs.js")


class _Tile(NamedTuple):
    """An image as it is on screen.

    version: changes with all that is drawn. boxes: the saved ones, then suggestions.
    known: what else the models of the moment see in it.
    """

    version: str
    record: ImageRecord
    suggested: tuple[Annotation, ...]
    known: Found

    @property
    def boxes(self) -> tuple[Annotation, ...]:
        return (*self.record.annotations, *self.suggested)


@dataclass(slots=True)
class _Page:
    """The images of a page: they stay as they are until they are approved.

    is_ready: their suggestions are those of the newest models, or are not waited for.
    labels: of the dataset when they were drawn. answers: how often it was sent.
    """

    dataset_id: str
    image_ids: list[str]
    is_ready: bool = False
    labels: frozenset[str] = frozenset()
    answers: int = 0
    tiles: dict[str, _Tile] = field(default_factory=dict)


def view() -> None:
    """Draw a page of images with their suggestions, and the button that approves."""
    st.caption(HOW)
    if filters.chosen_images() is not None:
        filters.draw_images_chip()
    page = _page()
    is_waiting = page is not None and not page.is_ready
    every = _POLL_SECONDS if is_waiting else None
    st.fragment(_proofs, run_every=every)(is_waiting)


@widgets.guarded
def _proofs(is_waiting: bool) -> None:
    widgets.go_on()
    bulk_progress.leave_fragment()
    state.leave_deleted_dataset()
    page = _page()
    if page is not None and not page.is_ready and not is_waiting:
        st.rerun()  # the counts around follow, and the page asks again
    if page is None and state.message():
        st.rerun()  # the last page was approved: the counts and the message follow
    if page is not None and page.is_ready:
        _refresh(page)
    _head(page)
    if page is None:
        _say_done()
        return
    if not page.is_ready:
        _wait_for(page)
        return
    if not any(tile.boxes for tile in page.tiles.values()):
        _say_how_to_begin()
        return
    _draw(page)


# ---------------------------------------------------------------- which images


def _page() -> _Page | None:
    """Return the page on screen, or the next one; None where no image is left."""
    waiting = _waiting()
    page: _Page | None = st.session_state.get(_PAGE)
    if page is not None and page.dataset_id == state.scope().dataset_id:
        still = set(waiting)
        page.image_ids = [i for i in page.image_ids if i in still]
        if page.image_ids:
            return page
    if not waiting:
        return None
    page = _Page(state.scope().dataset_id, waiting[: _size()])
    st.session_state[_PAGE] = page
    services.learner().follow(state.scope(), waiting[: 2 * MOST])
    return page


def _waiting() -> list[str]:
    """Return the images that nobody has decided on and that were not left out."""
    ids = cache.image_ids(state.scope(), statuses=UNDECIDED)
    chosen = filters.chosen_images()
    wanted = None if chosen is None else set(chosen.image_ids)
    left = _left_out()
    return [i for i in ids if i not in left and (wanted is None or i in wanted)]


def _size() -> int:
    counts = services.store().progress(state.scope())
    return min(max(counts.get(ReviewStatus.APPROVED, 0), FEWEST), MOST)


def _left_out() -> set[str]:
    """Return the images that this session left out of their pages, in the dataset."""
    every: dict[str, set[str]] = st.session_state.setdefault(_LEFT, {})
    return every.setdefault(state.scope().dataset_id, set())


def _still_left() -> list[str]:
    left = _left_out()
    if not left:
        return []
    ids = cache.image_ids(state.scope(), statuses=UNDECIDED)
    return [image_id for image_id in ids if image_id in left]


# ---------------------------------------------------------------- what they show


def _wait_for(page: _Page) -> None:
    """Show how many images have the newest suggestions, until all of them do."""
    known = _up_to_date(page.image_ids)
    if known is None or known == len(page.image_ids):
        _show(page)
        state.run_page_again()
        return
    images = widgets.plural(len(page.image_ids), "image")
    st.progress(
        known / len(page.image_ids),
        text=f"Learning, then updating suggestions: {known} of {images}",
    )
    st.button("Show them now", key="review.proofs.now", on_click=_show, args=(page,))


def _up_to_date(image_ids: Sequence[str]) -> int | None:
    """Return how many images have the newest suggestions; None if nothing learns."""
    store, scope = services.store(), state.scope()
    if store.learning(scope).state is not LearningState.ON:
        return None
    learner = services.learner()
    status = learner.status(scope)
    if status.is_behind or status.dataset != store.version(scope):
        return 0
    if not status.images or not status.is_busy:
        return None
    found = (learner.learned(scope, image_id) for image_id in image_ids)
    return sum(one is not None and one.version == status.version for one in found)


def _show(page: _Page) -> None:
    """Put what is known by now on screen."""
    learned_boxes.show(page.image_ids)
    page.is_ready = True


def _refresh(page: _Page) -> None:
    """Draw again the images that were saved since, or whose labels are renamed."""
    records = services.store().records(state.scope(), image_ids=page.image_ids)
    names = frozenset(services.store().labels(state.scope()).shown_names)
    gone, page.labels = page.labels - names, names
    fresh = [
        record
        for record in records
        if (tile := page.tiles.get(record.image_id)) is None
        or tile.record.revision != record.revision
        or any(box.label in gone for box in tile.suggested)
    ]
    suggested = suggested_boxes.of_records(fresh)
    for record in fresh:
        page.tiles[record.image_id] = _tile(record, suggested[record.image_id])
    there = {record.image_id for record in records}
    page.tiles = {i: page.tiles[i] for i in page.image_ids if i in there}


def _tile(record: ImageRecord, suggested: tuple[Annotation, ...]) -> _Tile:
    drawn = (record.image_id, record.revision, *(b.annotation_id for b in suggested))
    about = repr((state.scope().dataset_id, *drawn)).encode()
    version = hashlib.sha256(about).hexdigest()[:16]
    return _Tile(version, record, suggested, learned_boxes.seen(record))


# ---------------------------------------------------------------- drawing


def _head(page: _Page | None) -> None:
    """Draw what is on the page, and the actions on what was done before."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_in_words(page) if page else "", width="stretch")
        left = _still_left()
        if left:
            st.button(
                f"Edit {widgets.plural(len(left), 'image')} left out",
                key="review.proofs.left",
                icon=":material/edit:",
                on_click=widgets.open_in_editor,
                args=(left[0],),
            )
        actions.draw_undo(key="review.proofs", on_click=_undo)


def _in_words(page: _Page) -> str:
    boxes = sum(len(tile.boxes) for tile in page.tiles.values())
    images = widgets.plural(len(page.image_ids), "image")
    more = len(_waiting()) - len(page.image_ids)
    return (
        f"{images}, {widgets.plural(boxes, 'box')}. {more:,} more to come. Dashed: "
        "suggested. 1 to 9: label of the next box. Enter: approve."
    )


def _draw(page: _Page) -> None:
    labels, names = _labels(page)
    component = st.components.v2.component(
        "imagebase_proofs",
        html=widgets.asset("proofs.html"),
        css=widgets.asset("proofs.css"),
        js="".join(map(widgets.asset, _SCRIPTS)),
    )
    component(
        key=KEY,
        data={
            "rules": RULES,
            "names": names,
            "colours": [labels.colour_of(name) for name in names],
            "labels": [
                {"name": name, "colour": labels.colour_of(name)}
                for name in names[:_MOST_LABELS]
            ],
            "tiles": [_as_data(tile, names) for tile in page.tiles.values()],
            # After an answer that could not be saved it can be sent again.
            "answers": page.answers,
        },
        on_approve_change=_approve,
        on_open_change=_open,
    )


def _labels(page: _Page) -> tuple[LabelSet, list[str]]:
    """Return the labels with their colours, and the names, those on the page first."""
    labels = services.store().labels(state.scope())
    on_page = [box.label for tile in page.tiles.values() for box in tile.boxes]
    known = [name for tile in page.tiles.values() for name in tile.known.label.tolist()]
    names = [*dict.fromkeys([*on_page, *known, *labels.shown_names])]
    order = {name: place for place, name in enumerate(labels.shown_names)}
    names.sort(key=lambda name: (name not in set(on_page), order.get(name, len(order))))
    return labels.with_labels(names), names


def _as_data(tile: _Tile, names: Sequence[str]) -> dict[str, Any]:
    record = tile.record
    best = tile.known.rows((-tile.known.confidence).argsort()[:_MOST_KNOWN])
    columns = (best.xyxy.tolist(), best.confidence.tolist(), best.label.tolist())
    url = cache.whole_picture(state.scope(), record)
    return {
        "id": record.image_id,
        "version": tile.version,
        "name": record.file_name,
        "size": [*record.size],
        "url": url,
        # Nobody sees whether its boxes are right.
        "is_lost": is_placeholder(url),
        "boxes": [
            [*map(_rounded, box.box), names.index(box.label), box.is_untouched]
            for box in tile.boxes
        ],
        "known": [
            [*map(_rounded, xyxy), round(confidence, 3), names.index(label)]
            for xyxy, confidence, label in zip(*columns, strict=True)
        ],
    }


def _rounded(edge: float) -> float:
    return round(edge, 1)


def _say_done() -> None:
    if filters.chosen_images() is not None:
        st.info("None of the selected images are waiting for a decision.")
    left = _still_left()
    if left:
        images = widgets.plural(len(left), "image")
        st.info(f"{images} left out. All others are reviewed.")
        st.button("Show them here", key="review.proofs.again", on_click=_again)
        return
    st.success("All images are reviewed. Nothing is left to approve.")


def _say_how_to_begin() -> None:
    st.info(
        "Nothing is suggested on these images yet. Draw the boxes of the first images "
        "on **Edit** and approve them, which teaches what to suggest here, or run a "
        "model on **Annotate**."
    )
    st.page_link(widgets.EDIT_PAGE, label="**Edit**", icon=":material/edit:")


# ---------------------------------------------------------------- what a person does


@state.reports_errors
def _undo() -> None:
    bulk_progress.undo()
    st.session_state.pop(_PAGE, None)


def _again() -> None:
    _left_out().clear()


@state.reports_errors
def _open() -> None:
    image_id = (st.session_state.get(KEY) or {}).get("open")
    page: _Page | None = st.session_state.get(_PAGE)
    if page is not None and image_id in page.tiles:
        widgets.open_in_editor(image_id)


@state.reports_errors
def _approve() -> None:
    """Approve what was on screen, as it was on screen."""
    value = (st.session_state.get(KEY) or {}).get("approve")
    page: _Page | None = st.session_state.get(_PAGE)
    if page is None or not isinstance(value, Mapping):
        return
    page.answers += 1
    shown, changed = _as_shown(page, value.get("images"))
    _left_out().update(_texts(value.get("left")) & page.tiles.keys())
    result = approve_as_shown(services.store(), state.scope(), shown)
    # They are drawn again as they are now, and looked over with the next page.
    result = replace(
        result,
        conflicts=result.conflicts + len(changed),
        names=(*changed, *result.names),
    )
    bulk_progress.report(f"Approved {widgets.plural(result.changed, 'image')}", result)
    st.session_state.pop(_PAGE, None)


def _as_shown(
    page: _Page, images: object
) -> tuple[dict[str, ShownImage], tuple[str, ...]]:
    """Return the images as they were on screen, and the names of those that changed."""
    shown: dict[str, ShownImage] = {}
    changed: list[str] = []
    for entry in images if isinstance(images, list) else ():
        entry = entry if isinstance(entry, Mapping) else {}
        tile = page.tiles.get(str(entry.get("id")))
        if tile is None:
            continue
        if entry.get("version") != tile.version:
            changed.append(tile.record.file_name)
            continue
        off = {place for place in _list(entry.get("off")) if isinstance(place, int)}
        shown[tile.record.image_id] = ShownImage(
            tile.record.revision,
            tile.suggested,
            frozenset(
                box.annotation_id
                for place, box in enumerate(tile.boxes)
                if place in off
            ),
            tuple(_added(tile.record, _list(entry.get("added")))),
        )
    return shown, tuple(changed)


def _added(record: ImageRecord, entries: Sequence[object]) -> list[Annotation]:
    """Return the boxes that a person put on an image; the editor's rules hold.

    Raises:
        EditError: a box or its label is none.
    """
    added = []
    for entry in entries:
        match entry:
            case {"box": [x0, y0, x1, y1], "label": str(label)} if all(
                isinstance(edge, int | float) for edge in (x0, y0, x1, y1)
            ):
                box = checked_box(Box(x0, y0, x1, y1), record.size)
                who = state.scope().who
                added.append(Annotation(box, checked_label(label), changed_by=who))
            case _:
                raise EditError("A box on this page cannot be read. Draw it again.")
    return added


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> set[str]:
    return {text for text in _list(value) if isinstance(text, str)}
