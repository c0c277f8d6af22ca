"""Pictures drawn from a finished zip alone: what its readers will see."""

import logging
from itertools import islice
from pathlib import Path
from typing import Final

import streamlit as st

from imagebase.annotation import LabelSet
from imagebase.drawing import draw_annotations
from imagebase.errors import ImageBaseError
from imagebase.formats.label_set_files import ReadImage
from imagebase.formats.registry import read
from imagebase.formats.trees import NameIndex, ZipTree, images_of
from imagebase.images import load_image, resized
from imagebase.tiles import inner_size
from imagebase.ui import backend, cache, widgets

PICTURES: Final = 6
# All label files are read to draw six of them; that is to take a second at most.
MOST_IMAGES: Final = 2000

_log = logging.getLogger(__name__)


def show_pictures(path: Path, format_name: str) -> None:
    """Draw the first images of a zip that hold boxes, with these boxes on them."""
    try:
        pictures = _pictures(str(path), format_name, backend.limits().max_image_pixels)
    except ImageBaseError:
        _log.warning("The pictures of an export cannot be drawn", exc_info=True)
        return
    if not pictures:
        return
    st.caption("Drawn from the files in the zip:")
    cells = st.columns(PICTURES, gap="small")
    for cell, (name, url) in zip(cells, pictures, strict=False):
        cell.image(url, width="stretch", alt=name)
        cell.caption(widgets.escape(widgets.short_name(name)))


@st.cache_data(max_entries=16, show_spinner="Drawing what the zip holds …")
def _pictures(path: str, format_name: str, max_pixels: int) -> list[tuple[str, str]]:
    """Return names and data URLs; a zip's path is never used again for another."""
    with ZipTree(Path(path)) as tree:
        result = read(tree, format_name)
        files = images_of(tree)
        images = sorted(result.images, key=lambda one: not one.annotations)
        drawn = (
            _drawn(one, tree, files, result.labels, max_pixels=max_pixels)
            for one in images
        )
        return list(islice(filter(None, drawn), PICTURES))


def _drawn(
    image: ReadImage,
    tree: ZipTree,
    files: NameIndex,
    labels: LabelSet,
    *,
    max_pixels: int,
) -> tuple[str, str] | None:
    """Return name and data URL of one image; None where the zip has only labels."""
    name = files.find(image.name)
    if name is None:
        return None
    loaded = load_image(
        tree.read(name), file_name=name, max_pixels=max_pixels, wanted=cache.TILE
    )
    drawn = draw_annotations(
        resized(loaded.rgb, inner_size(loaded.size, cache.TILE)),
        image.in_pixels(loaded.size).annotations,
        labels=labels,
        from_size=loaded.size,
    )
    return name, cache.tile_url(drawn)
