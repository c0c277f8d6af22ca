"""Colours of labels: a palette, and further colours that stay apart."""

import colorsys
from typing import Final

# Okabe and Ito's palette for the colour-blind (Color Universal Design, 2008), without
# black, followed by lighter and darker neighbours; `label_colour` continues from there.
PALETTE: Final = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#8DD3C7",
    "#B15928",
    "#6A3D9A",
    "#B2DF8A",
    "#FB9A99",
)

# Further hues are a golden angle apart, so that none comes back; with them go in turn
# what kept 80 labels furthest apart in CIELAB (7 at least, 14 for the usual pair).
_GOLDEN_TURN: Final = 0.381966
_LIGHTNESSES: Final = (0.38, 0.68, 0.53, 0.80)
_SATURATIONS: Final = (1.0, 0.55, 0.80)

# Of a label that is in no list.
UNKNOWN_COLOUR: Final = "#888888"


def label_colour(class_id: int) -> str:
    """Return the colour that the label of this class id has until it is given one."""
    if class_id < len(PALETTE):
        return PALETTE[class_id]
    step = class_id - len(PALETTE)
    rgb = colorsys.hls_to_rgb(
        step * _GOLDEN_TURN % 1,
        _LIGHTNESSES[step % len(_LIGHTNESSES)],
        _SATURATIONS[step % len(_SATURATIONS)],
    )
    return "#" + "".join(f"{round(255 * part):02X}" for part in rgb)
