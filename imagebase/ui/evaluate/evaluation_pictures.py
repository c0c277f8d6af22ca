"""Cards of an evaluation: a cut-out with truth and detection, words, and Edit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

from imagebase.annotation import Annotation, Box, LabelSet, Size
from imagebase.errors import ImageBaseError, ImageFileError
from imagebase.evaluation.arrays import EvaluatedImage
from imagebase.evaluation.error_types import Mistake, Verdicts
from imagebase.evaluation.image_cards import found_box, in_words, object_box
from imagebase.images.decode import LoadedImage, load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import crop, inner_size
from imagebase.store import Scope
from imagebase.ui import cache, services, state, widgets

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
