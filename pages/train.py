"""Train page: a model of one's own from approved images; then it labels the rest."""

from imagebase.ui import frame, widgets
from imagebase.ui.train import train_page

frame.enter()

train_page.header()
widgets.needs_images()
train_page.show()
