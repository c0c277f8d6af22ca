"""Map of the dataset on the Review page: images as points, selected by rectangle."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from imagebase.geometry import FloatArray
from imagebase.learning.image_map import sample
from imagebase.store import ImageFilter
from imagebase.store.statistics import BoxTable, ImageTable
from imagebase.ui import cache, charts, likeness, services, state, widgets
from imagebase.ui.review import filters

MOST_POINTS: Final = 20_000
_KEY: Final = "review.map"
_STATUS, _LABEL = "status", "most frequent label"
_MOST_LABELS: Final = 9
_OTHER, _NONE = "other", "no boxes"
_SHOWN: Final = 12
_COLUMNS: Final = 3
_NAME_LETTERS: Final = 36
_SHARES: Final = (7, 4)


def image_map() -> None:
    """Draw the map, and the images that are selected on it."""
    is_growing = likeness.draw_progress()
    now = likeness.compared()
    known = now.vectors
    if len(known) < 2 and is_growing:
        return
    if len(known) < 2:
        st.info("The map needs two images at least that have been compared.")
        return
    scope, store = state.scope(), services.store()
    images, boxes = cache.health_tables(
        scope.owner_id, scope.dataset_id, store.version(scope)
    )
    left, right = st.columns(_SHARES, gap="medium")
    with left:
        _chart(known.image_ids, now.points, images, boxes)
    with right:
        _selected()


def _chart(
    image_ids: Sequence[str], points: FloatArray, images: ImageTable, boxes: BoxTable
) -> None:
    colour_by = st.segmented_control(
        "Colour by",
        [_STATUS, _LABEL],
        default=_STATUS,
        required=True,
        key="review.map.colour",
        persist_state="session",
    )
    shown = sample(len(image_ids), MOST_POINTS)
    groups = _statuses(images) if colour_by == _STATUS else _labels(images, boxes)
    name_of = services.store().file_names(state.scope())
    drawn = [image_ids[place] for place in shown]
    charts.scatter(
        points[shown],
        names=[name_of.get(name, "") for name in drawn],
        groups=[groups.get(name, _NONE) for name in drawn],
        colours=_colours(groups, by_status=colour_by == _STATUS),
        key=_KEY,
        on_select=lambda area, place: _select(
            image_ids, points, area, None if place is None else int(shown[place])
        ),
    )
    words = (
        "Images that look alike are near each other. Drag a rectangle around points, "
        "or click one, to select images."
    )
    if len(shown) < len(image_ids):
        words += (
            f" Drawn are {len(shown):,} of {len(image_ids):,} images, evenly spread; a "
            "rectangle selects all of them."
        )
    st.caption(words)


def _statuses(images: ImageTable) -> dict[str, str]:
    return {
        image_id: widgets.STATUS_WORDS[status]
        for image_id, status in zip(images.image_ids, images.status, strict=True)
    }


def _labels(images: ImageTable, boxes: BoxTable) -> dict[str, str]:
    """Return the most frequent label of each image with boxes, rare ones as other."""
    counts = np.zeros((len(images), max(len(boxes.labels), 1)), np.int32)
    np.add.at(counts, (boxes.image, boxes.label), 1)
    main = counts.argmax(axis=1)
    has_boxes = counts.any(axis=1)
    frequent = _most_frequent(main[has_boxes])
    return {
        images.image_ids[place]: boxes.labels[int(main[place])]
        if main[place] in frequent
        else _OTHER
        for place in np.flatnonzero(has_boxes).tolist()
    }


def _most_frequent(labels: NDArray[np.intp]) -> set[int]:
    values, counts = np.unique(labels, return_counts=True)
    return set(values[np.argsort(-counts, kind="stable")][:_MOST_LABELS].tolist())


def _colours(groups: Mapping[str, str], *, by_status: bool) -> dict[str, str]:
    """Return the colour of each group that is there, by its name."""
    present = set(groups.values())
    if by_status:
        words = widgets.STATUS_WORDS.items()
        return {
            word: charts.STATUS_COLOURS[status]
            for status, word in words
            if word in present
        }
    labels = services.store().labels(state.scope())
    named = {name: labels.colour_of(name) for name in labels.names if name in present}
    return {**named, _OTHER: "#777777", _NONE: "#BBBBBB"}


def _select(
    image_ids: Sequence[str],
    points: FloatArray,
    area: Mapping[str, Any],
    place: int | None,
) -> None:
    """Filter to the images in a rectangle, or to one; to all where there is none."""
    if area:
        inside = np.ones(len(points), np.bool_)
        for column, axis in enumerate(("x", "y")):
            low, high = sorted(map(float, area[axis]))
            inside &= (points[:, column] >= low) & (points[:, column] <= high)
        chosen = [image_ids[found] for found in np.flatnonzero(inside).tolist()]
    else:
        chosen = [] if place is None else [image_ids[place]]
    filters.choose_images(chosen, why=f"{len(chosen):,} selected on the map")


def _selected() -> None:
    """Draw the first of the selected images, and where to go with them."""
    chosen = filters.chosen_images()
    if chosen is None:
        st.caption("No images selected.")
        return
    filters.draw_images_chip()
    with st.container(horizontal=True):
        st.button(
            "Show in the queue",
            key="review.map.queue",
            icon=":material/sort:",
            on_click=filters.go_to,
            args=(filters.QUEUE,),
        )
        st.button(
            "Show in the table",
            key="review.map.table",
            icon=":material/table_rows:",
            on_click=filters.go_to,
            args=(filters.IMAGES,),
        )
    scope = state.scope()
    wanted = ImageFilter(image_ids=chosen.image_ids)
    rows = services.store().image_rows(scope, wanted, limit=_SHOWN)
    pictures = [
        widgets.Picture(
            row.image_id,
            cache.plain_tile(scope, row.image_id, row.file_name),
            row.file_name,
            icon=widgets.STATUS_ICONS[row.status],
        )
        for row in rows
    ]
    widgets.picture_grid(
        pictures, columns=_COLUMNS, key="review.map.open", letters=_NAME_LETTERS
    )
    if len(chosen.image_ids) > len(rows):
        st.caption(f"and {len(chosen.image_ids) - len(rows):,} more")
