"""Review page: the doubtful first, every label, crops, images, figures of it all."""

import streamlit as st

from imagebase.ui import frame, widgets
from imagebase.ui.review import (
    crops,
    figures,
    label_errors,
    queue,
    review_filters,
    review_images,
    reviewing,
)
from imagebase.ui.train import train_again

frame.enter()

# One line a view, in the order of the switch.
VIEWS = {
    review_filters.QUEUE: queue.queue,
    review_filters.LABELS: reviewing.label_table,
    review_filters.CROPS: crops.contact_sheet,
    review_filters.IMAGES: review_images.image_table,
    review_filters.LABEL_ERRORS: label_errors.label_errors,
    review_filters.FIGURES: figures.figures,
}

widgets.needs_images()
with st.container():
    train_again.offer()
VIEWS[review_filters.choose_view(tuple(VIEWS), first=queue.first_view)]()
