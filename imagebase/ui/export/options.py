"""Options of an export: scope, labels, format, split, size, variants."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imagebase.annotation import ReviewStatus, Size
from imagebase.annotation.states import (
    ALL,
    APPROVED,
    LABELLED,
    SCOPE_WORDS,
    SCOPES,
    count,
)
from imagebase.export.request import (
    AREAS_BLACK,
    AREAS_LEFT,
    AREAS_WORDS,
    AREAS_WRITTEN,
    FOLDERS,
    SHARES,
    TAGS,
    ExportRequest,
    SplitChoice,
    request_json,
    resizing_in_words,
)
from imagebase.formats.base import PARTS
from imagebase.formats.registry import format_named
from imagebase.formats.split import Shares
from imagebase.images.resize import (
    MAX_SIDE_PX,
    Letterbox,
    LongestSide,
    Resizing,
    Stretch,
)
from imagebase.ui import services, state
from imagebase.ui.export import variants

FRONT: Final = {
    "coco": "COCO",
    "yolo": "Ultralytics YOLO",
    "darknet": "Darknet",
    "voc": "Pascal VOC",
    "csv": "CSV",
    "folders": "Folder per label",
}
MORE: Final = {
    "createml": "CreateML",
    "labelme": "LabelMe",
    "cvat": "CVAT",
    "labelstudio": "Label Studio",
    "openimages": "Open Images",
    "classification": "Image classification",
}
_ABOUT: Final = {
    "coco": "annotations/instances_*.json and images/, as CVAT reads it.",
    "yolo": "data.yaml, images/ and labels/, as Ultralytics trains from.",
    "darknet": "obj.data, obj.names, obj.cfg and one .txt next to each image.",
    "voc": "One XML file per image, as in the Pascal VOC challenge.",
    "csv": "One row per box: filename, width, height, class and corners.",
    "folders": "A folder for each label with the images that contain it.",
    "createml": "One annotations.json with centres in pixels, for Apple's Create ML.",
    "labelme": "One JSON file per image, as LabelMe opens it.",
    "cvat": "One annotations.xml, CVAT for images 1.1.",
    "labelstudio": "Tasks with boxes in percent, and the labelling config.",
    "openimages": "Box rows in the Open Images order, in relative coordinates.",
    "classification": "Images in a folder for each label, without boxes.",
}
_OTHERS: Final = "more"
_CROPS: Final = {False: "images by tag", True: "one crop per box"}


def choose_format() -> tuple[str, bool]:
    """Draw the formats; return the selected one, and whether boxes are cropped."""
    shown = FRONT | {_OTHERS: "more …"}
    name: str = st.segmented_control(
        "Format",
        list(shown),
        default="coco",
        required=True,
        format_func=shown.__getitem__,
        key="export.format",
        persist_state="session",
    )
    if name == _OTHERS:
        name = st.segmented_control(
            "More formats",
            list(MORE),
            default="createml",
            required=True,
            format_func=MORE.__getitem__,
            key="export.format.more",
            label_visibility="collapsed",
            persist_state="session",
        )
    st.caption(_ABOUT[name])
    return name, name == "classification" and _crops()


def _crops() -> bool:
    chosen: bool = st.segmented_control(
        "Classify",
        list(_CROPS),
        default=False,
        required=True,
        format_func=_CROPS.__getitem__,
        key="export.crops",
        persist_state="session",
    )
    return chosen


T = TypeVar("T")

_NONE: Final = "none"
_SPLITS: Final = {
    _NONE: "no split",
    SHARES: "by percentage",
    TAGS: "by tags",
    FOLDERS: "by folders",
}
_SIZES: Final = {
    _NONE: "original size",
    "stretch": "stretch",
    "letterbox": "letterbox",
    "longest_side": "longest side",
}
_SIZES_MEAN: Final = {
    _NONE: "Images are copied unchanged.",
    "stretch": "Exactly this size; the aspect ratio changes.",
    "letterbox": "Keeps the aspect ratio and fills up to this size with grey.",
    "longest_side": "Keeps the aspect ratio; limits the longest side.",
}
_USUAL_PX: Final = 640
_USUAL_PERCENT: Final = {"train": 80, "val": 20, "test": 0}


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """The contents of the zip, and the dataset version.

    version: of the dataset. total: the number of images in the requested scope.
    """

    request: ExportRequest
    name: str
    version: str
    total: int

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the job that builds it."""
        return {
            **request_json(self.request),
            "name": self.name,
            "version": self.version,
        }


def choose() -> ExportChoice:
    """Draw all options; return the choice."""
    format_name, crops = choose_format()
    counts = services.store().progress(state.scope())
    totals = {name: count(counts, statuses) for name, statuses in SCOPES.items()}
    images = _images(counts, totals)
    with st.container(horizontal=True):
        labels, renumbers = _labels()
        split = _split(needs_val=format_named(format_name).lists_train_as_val)
        resizing = _resizing()
        recipe = variants.choose(
            why_not=_why_no_variants(crops=crops, has_split=split is not None)
        )
        areas = _areas(format_name)
        with_images, without_metadata, with_empty = _more(
            makes=bool(crops or resizing or recipe or areas == AREAS_BLACK)
        )
    limits = services.limits()
    request = ExportRequest(
        format_name,
        images=images,
        with_images=with_images,
        with_empty=with_empty,
        without_metadata=without_metadata,
        labels=labels,
        renumbers=renumbers,
        crops=crops,
        split=split,
        resizing=resizing,
        recipe=recipe,
        areas=areas,
        zip_bytes=limits.max_zip_bytes,
        made_bytes=limits.max_made_bytes,
    )
    return ExportChoice(
        request,
        state.dataset().name,
        services.store().version(state.scope()),
        totals[images],
    )


def _images(counts: Mapping[ReviewStatus, int], totals: Mapping[str, int]) -> str:
    has_approved = bool(counts.get(ReviewStatus.APPROVED))
    has_imported = bool(counts.get(ReviewStatus.IMPORTED))
    chosen: str = st.segmented_control(
        "Images",
        [name for name in SCOPES if has_imported or name != LABELLED],
        default=APPROVED if has_approved else ALL,
        required=True,
        format_func=lambda name: f"{SCOPE_WORDS[name]} {totals[name]:,}",
        key=f"export.images.{has_approved}.{has_imported}",
        persist_state="session",
    )
    return chosen


def _why_no_variants(*, crops: bool, has_split: bool) -> str:
    if crops:
        return "Crops cannot be augmented."
    if not has_split:
        return "Split the images first: only training images are augmented."
    return ""


def _labels() -> tuple[tuple[str, ...] | None, bool]:
    names = services.store().labels(state.scope()).shown_names
    # Each dataset has labels of its own.
    key = f"export.labels.{state.scope().dataset_id}"
    selected: list[str] = _value_of(key, [])
    count = sum(name in selected for name in names)
    title = f"Labels: {count:,} of {len(names):,}" if count else "Labels: all"
    with st.popover(title, icon=":material/label:", key="export.labels.open"):
        only = st.multiselect(
            "Only boxes of these labels",
            names,
            placeholder="all labels",
            key=key,
            persist_state="session",
            select_all=False,
        )
        renumbers = st.checkbox(
            "Renumber class IDs for the selected labels",
            disabled=not only,
            help="Otherwise each label keeps its class ID from the dataset.",
            key="export.renumbers",
            persist_state="session",
        )
    # In the order of the dataset, not of the clicks.
    labels = tuple(name for name in names if name in only)
    return (labels or None), renumbers and bool(labels)


def _split(*, needs_val: bool) -> SplitChoice | None:
    """Draw the split; one is proposed where the format needs `val` for training."""
    key = "export.split.proposed" if needs_val else "export.split"
    usual = _value_of("export.split", _NONE)
    if needs_val and usual == _NONE:
        usual = SHARES
    by = _value_of(key, usual)
    title = f"Split: {_SPLITS[by].removeprefix('no ')}"
    if by == _NONE:
        title = "Split: none"
    elif by == SHARES:
        percents = (
            _value_of(f"export.split.{part}", _USUAL_PERCENT[part]) for part in PARTS
        )
        title = "Split: " + " / ".join(f"{percent}" for percent in percents)
    with st.popover(title, icon=":material/call_split:", key="export.split.open"):
        by = st.segmented_control(
            "Train, val, test",
            list(_SPLITS),
            default=usual,
            required=True,
            format_func=_SPLITS.__getitem__,
            key=key,
            persist_state="session",
        )
        if by == _NONE:
            st.caption(
                "Without a split, training is validated on its own images."
                if needs_val
                else "All images go to train."
            )
            return None
        return _by_shares() if by == SHARES else _by_column(by)


def _by_shares() -> SplitChoice:
    cells = st.columns(len(PARTS))
    percents = [
        cell.number_input(
            f"{part} %",
            0,
            100,
            value=_USUAL_PERCENT[part],
            key=f"export.split.{part}",
            persist_state="session",
        )
        for part, cell in zip(PARTS, cells, strict=True)
    ]
    together = st.checkbox(
        "Keep near-duplicates in the same split",
        value=True,
        key="export.split.together",
        persist_state="session",
    )
    seed = st.number_input(
        "Seed",
        0,
        10**6,
        help="The same seed gives the same split.",
        key="export.split.seed",
        persist_state="session",
    )
    st.caption(
        "Stratified: rare labels are distributed first, so that every split has some."
    )
    shares = Shares(*(float(percent) for percent in percents))
    return SplitChoice(shares=shares, seed=seed, keeps_together=together)


def _by_column(by: str) -> SplitChoice:
    what = "with a tag" if by == TAGS else "in a folder"
    st.caption(f"Images {what} train, val or test go to that split.")
    otherwise = st.segmented_control(
        "Other images",
        PARTS,
        default="train",
        required=True,
        key="export.split.otherwise",
        persist_state="session",
    )
    return SplitChoice(by, otherwise=otherwise)


def _resizing() -> Resizing | None:
    how = _value_of("export.size", _NONE)
    width = _value_of("export.size.width", _USUAL_PX)
    height = _value_of("export.size.height", _USUAL_PX)
    chosen = _resizing_of(how, width, height, enlarges=False)
    title = resizing_in_words(chosen) if chosen else "original"
    with st.popover(
        f"Size: {title}",
        icon=":material/photo_size_select_large:",
        key="export.size.open",
    ):
        how = st.segmented_control(
            "Resize",
            list(_SIZES),
            default=_NONE,
            required=True,
            format_func=_SIZES.__getitem__,
            key="export.size",
            persist_state="session",
        )
        st.caption(_SIZES_MEAN[how])
        if how == _NONE:
            return None
        left, right = st.columns(2)
        is_side = how == "longest_side"
        width = _side(left, "Longest side" if is_side else "Width", "width")
        height = width if is_side else _side(right, "Height", "height")
        enlarges = how != "stretch" and st.checkbox(
            "Enlarge smaller images",
            key="export.size.enlarges",
            persist_state="session",
        )
        st.caption("Boxes are scaled to match.")
        return _resizing_of(how, width, height, enlarges=enlarges)


def _side(cell: DeltaGenerator, title: str, name: str) -> int:
    side: int = cell.number_input(
        f"{title}, pixels",
        1,
        MAX_SIDE_PX,
        value=_USUAL_PX,
        step=32,
        key=f"export.size.{name}",
        persist_state="session",
    )
    return side


def _resizing_of(
    how: str, width: int, height: int, *, enlarges: bool
) -> Resizing | None:
    if how == "stretch":
        return Stretch(Size(width, height))
    if how == "letterbox":
        return Letterbox(Size(width, height), enlarges=enlarges)
    if how == "longest_side":
        return LongestSide(width, enlarges=enlarges)
    return None


def _areas(format_name: str) -> str:
    """Draw how ignore areas are exported, if there are any."""
    if not services.store().ignore_areas_mark(state.scope()):
        return AREAS_WRITTEN
    chosen_format = format_named(format_name)
    can_hold = chosen_format.holds_areas
    kinds = [AREAS_WRITTEN, AREAS_BLACK, AREAS_LEFT][not can_hold :]
    with st.popover(
        "Ignore areas", icon=":material/hide_image:", key="export.areas.open"
    ):
        chosen: str = st.radio(
            "Ignore areas",
            kinds,
            format_func=lambda kind: AREAS_WORDS[kind].capitalize(),
            key=f"export.areas.{can_hold}",
            persist_state="session",
        )
        if not can_hold:
            st.caption(f"{chosen_format.title} does not support ignore areas.")
    return chosen


def _more(*, makes: bool) -> tuple[bool, bool, bool]:
    with st.popover("More", icon=":material/tune:", key="export.more.open"):
        with_images = st.checkbox(
            "Include images",
            value=True,
            disabled=makes,
            help="Resized, augmented and cropped images are always included.",
            key="export.with_images",
            persist_state="session",
        )
        without_metadata = st.checkbox(
            "Remove metadata (location, camera, time)",
            disabled=not (with_images or makes),
            key="export.without_metadata",
            persist_state="session",
        )
        with_empty = st.checkbox(
            "Include confirmed empty images",
            value=True,
            key="export.with_empty",
            persist_state="session",
        )
    return with_images or makes, without_metadata, with_empty


def _value_of(key: str, default: T) -> T:
    """Return a widget's value before it is drawn, for the title of its popover."""
    chosen: T | None = st.session_state.get(key)
    return default if chosen is None else chosen
