"""Train page: train a model on approved images, then let it label the rest."""

from imagebase.ui import frame, widgets
from imagebase.ui.train import page

frame.enter()

page.header()
widgets.needs_images()
page.show()
