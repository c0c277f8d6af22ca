"""Review page: every label in a table; approve, reject, relabel, delete."""

from imagebase.ui import frame, review_filters, reviewing, widgets

frame.enter()

# One line a view, in the order of the switch.
VIEWS = {
    review_filters.LABELS: reviewing.label_table,
    review_filters.IMAGES: reviewing.image_table,
}

widgets.needs_images()
VIEWS[review_filters.choose_view(tuple(VIEWS))]()
