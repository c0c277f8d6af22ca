"""Edit page: one image, its boxes on the canvas and in the table."""

from imagebase.ui import correcting, frame, widgets

frame.enter()

widgets.needs_images()
correcting.editor()
