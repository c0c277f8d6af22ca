"""Train page: a model of one's own from approved images; then it labels the rest."""

from imagebase.ui import frame, widgets
from imagebase.ui.train import page

frame.enter()

page.header()
widgets.needs_images()
page.show()
