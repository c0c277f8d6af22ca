"""Edit page: one image with its boxes, on the canvas and in a table."""

from imagebase.ui import frame, widgets
from imagebase.ui.edit import page

frame.enter()

widgets.needs_images()
page.editor()
