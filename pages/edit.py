"""Edit page: one image, its boxes on the canvas and in the table."""

from imagebase.ui import frame, widgets
from imagebase.ui.edit import page

frame.enter()

widgets.needs_images()
page.editor()
