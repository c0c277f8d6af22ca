"""Review page: the doubtful first, every label, crops, images, figures of it all."""

import streamlit as st

from imagebase.ui import find_more, frame, proposed_tags, widgets
from imagebase.ui.review import (
    crops,
    duplicates,
    figures,
    filters,
    found,
    image_map,
    lists,
    queue,
    suggestions,
)
from imagebase.ui.train import setup

frame.enter()

# One line a view, in the order of the switch.
VIEWS = {
    filters.QUEUE: queue.queue,
    filters.SUGGESTIONS: suggestions.view,
    filters.BOXES: lists.box_table,
    filters.CROPS: crops.contact_sheet,
    filters.IMAGES: lists.image_table,
    find_more.VIEW: found.view,
    filters.MAP: image_map.image_map,
    filters.DUPLICATES: duplicates.near_duplicates,
    filters.TAGS: proposed_tags.view,
    filters.LABEL_ERRORS: queue.label_errors,
    filters.STATISTICS: figures.statistics,
}

widgets.needs_images()
with st.container():
    setup.offer()
VIEWS[filters.choose_view(tuple(VIEWS), first=queue.first_view)]()
