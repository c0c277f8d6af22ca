"""Augmentation options of an export."""

from typing import Any, Final

import streamlit as st

from imagebase.augmentation import (
    STEPS,
    Blur,
    BrightnessContrast,
    Crop,
    Cutout,
    FlipHorizontally,
    FlipVertically,
    Hsv,
    Mosaic,
    Noise,
    QuarterTurn,
    Recipe,
    Rotate,
    RotatedBoxes,
    ScaleShift,
    Step,
)

_MOSAIC: Final = "mosaic"
_MOST: Final = 20
_STRENGTHS: Final = {"light": 0.5, "medium": 1.0, "strong": 1.6}
_WORDS: Final = {
    "flip_horizontally": "horizontal flip",
    "flip_vertically": "vertical flip",
    "quarter_turn": "rotate 90°",
    "rotate": "rotate",
    "scale_shift": "scale and shift",
    "crop": "crop",
    "hsv": "colour",
    "brightness_contrast": "brightness",
    "blur": "blur",
    "noise": "noise",
    "cutout": "cutout",
    _MOSAIC: "mosaic",
}
_USUAL: Final = ("flip_horizontally", "scale_shift", "hsv")
_RULES: Final = {
    RotatedBoxes.CORNERS: "Around the rotated corners: never cuts, slightly loose.",
    RotatedBoxes.ELLIPSE: "Around a rotated ellipse: tighter, may cut corners.",
}
_VARIANTS: Final = "export.variants"
_WIDTH_PX: Final = 460


def choose(*, why_not: str) -> Recipe | None:
    """Draw the augmentation options; return the recipe, None without variants.

    why_not: why there can be none; empty if there can.
    """
    count = 0 if why_not else st.session_state.get(_VARIANTS) or 0
    title = f"Augment: × {count}" if count else "Augment: none"
    with (
        st.popover(title, icon=":material/auto_awesome_motion:", key="export.vary"),
        st.container(width=_WIDTH_PX),
    ):
        if why_not:
            st.caption(why_not)
            return None
        count = st.slider(
            "Variants per training image",
            0,
            _MOST,
            key=_VARIANTS,
            persist_state="session",
        )
        if not count:
            st.caption(
                "Adds changed copies of the training images, with matching boxes."
            )
            return None
        return _recipe(count)


def _recipe(count: int) -> Recipe:
    chosen = st.pills(
        "Transformations",
        list(_WORDS),
        selection_mode="multi",
        default=list(_USUAL),
        format_func=_WORDS.__getitem__,
        key="export.steps",
        persist_state="session",
    )
    strength = st.segmented_control(
        "Strength",
        list(_STRENGTHS),
        default="medium",
        required=True,
        key="export.strength",
        persist_state="session",
    )
    rule = _rule() if "rotate" in chosen else RotatedBoxes.CORNERS
    least = st.slider(
        "Drop boxes with less visible than",
        0,
        90,
        value=30,
        step=5,
        format="%d %%",
        key="export.least",
        persist_state="session",
    )
    seed = st.number_input(
        "Seed",
        0,
        10**6,
        help="The same seed gives the same variants.",
        key="export.recipe.seed",
        persist_state="session",
    )
    usual = steps(_STRENGTHS[strength], rule)
    return Recipe(
        tuple(usual[name] for name in STEPS if name in chosen),
        Mosaic() if _MOSAIC in chosen else None,
        variants=count,
        seed=seed,
        least_visible=least / 100,
    )


def _rule() -> RotatedBoxes:
    rule: Any = st.segmented_control(
        "Boxes of rotated images",
        list(_RULES),
        default=RotatedBoxes.CORNERS,
        required=True,
        key="export.rule",
        persist_state="session",
    )
    st.caption(_RULES[rule])
    return RotatedBoxes(rule)


def steps(strength: float, rule: RotatedBoxes) -> dict[str, Step]:
    """Return every step by its name. strength: 1 is medium."""
    return {
        "flip_horizontally": FlipHorizontally(),
        "flip_vertically": FlipVertically(),
        "quarter_turn": QuarterTurn(),
        "rotate": Rotate(10 * strength, rule),
        "scale_shift": ScaleShift(
            1 - 0.3 * strength, 1 + 0.3 * strength, 1 + 0.1 * strength, 0.1 * strength
        ),
        "crop": Crop(1 - 0.3 * strength),
        "hsv": Hsv(0.015 * strength, 0.5 * strength, 0.4 * strength),
        "brightness_contrast": BrightnessContrast(0.2 * strength, 0.2 * strength),
        "blur": Blur(1.5 * strength),
        "noise": Noise(12 * strength),
        "cutout": Cutout(max_side=0.15 * strength),
    }
