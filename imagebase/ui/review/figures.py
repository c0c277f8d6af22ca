"""Statistics of the Review page: dataset health, corrections, thresholds."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from imagebase.annotation import ReviewStatus
from imagebase.learning.image_vectors import vectors_version
from imagebase.review.health import (
    ASPECT_EDGES,
    GRID,
    MANY_BOXES,
    SIDE_EDGES,
    TINY_PX,
    TINY_SHARE,
    WHOLE_SHARE,
    Finding,
    aspect_ratios,
    boxes_per_image,
    centre_cells,
    centre_counts,
    count_by_label,
    count_by_status,
    count_tags,
    findings,
    histogram,
    leading,
    relative_sides,
)
from imagebase.store.statistics import BoxTable, ImageTable
from imagebase.ui import cache, charts, likeness, services, state, widgets
from imagebase.ui.review import filters
from imagebase.ui.review.correction_figures import corrections
from imagebase.ui.review.threshold_offer import threshold_offer
from imagebase.wording import percent

MOST_LABELS: Final = 30
MOST_TAGS: Final = 12
_ALL: Final = "all labels"
_FINDING_HELP: Final = (
    f"Tiny boxes have a side under {TINY_PX:.0f} px or cover less than "
    f"{TINY_SHARE * 100:.1f} % of the image; whole-image boxes cover more than "
    f"{WHOLE_SHARE * 100:.0f} % of it. The other issues come from the quality check at "
    "upload."
)


def health() -> None:
    """Draw the statistics of images and boxes; a click on a bar shows its images."""
    scope = state.scope()
    version = services.store().version(scope)
    images, boxes = cache.health_tables(scope.owner_id, scope.dataset_id, version)
    findings = _findings(
        scope.owner_id,
        scope.dataset_id,
        version,
        vectors_version(services.store(), scope),
    )
    _numbers(images, boxes, findings)
    if not len(boxes):
        left, right = st.columns(2, gap="medium")
        with left:
            _by_status(images)
        with right:
            _issues(findings)
        st.info(
            "No boxes yet. Run a model on **Annotate** or draw boxes on **Edit** to "
            "see statistics of labels, sizes and positions."
        )
        return
    label = _choose_label(boxes)
    shown = boxes if label is None else boxes.of_label(label)
    first, second, third = st.columns(3, gap="medium")
    with first:
        _by_label(boxes)
    with second:
        _by_status(images)
        _sizes(shown, images, label)
        _crowds(shown, images, label)
    with third:
        _issues(findings)
        _places(shown, images, label)
        _shapes(shown, images, label)
    _tags(images)


@st.cache_resource(max_entries=4, show_spinner=False)
def _findings(
    owner_id: str, dataset_id: str, version: str, vectors: str
) -> dict[Finding, tuple[str, ...]]:
    images, boxes = cache.health_tables(owner_id, dataset_id, version)
    return findings(boxes, images, likeness.vectors().by_image())


def _numbers(
    images: ImageTable, boxes: BoxTable, findings: dict[Finding, tuple[str, ...]]
) -> None:
    approved = count_by_status(images)[ReviewStatus.APPROVED]
    counts = boxes_per_image(boxes, images)
    suspects = {image_id for ids in findings.values() for image_id in ids}
    cells = st.columns(6)
    cells[0].metric("Images", f"{len(images):,}")
    cells[1].metric("Approved", _percent(approved, len(images)))
    cells[2].metric("Boxes", f"{len(boxes):,}")
    cells[3].metric("Labels in use", f"{len(count_by_label(boxes)):,}")
    cells[4].metric(
        "Boxes per image",
        f"{np.median(counts):.0f}",
        help="Median number of boxes per image",
    )
    cells[5].metric("Possible issues", f"{len(suspects):,}", help=_FINDING_HELP)


def _choose_label(boxes: BoxTable) -> str | None:
    counts = count_by_label(boxes)
    chosen: str = st.selectbox(
        "Sizes, positions and shapes of",
        [_ALL, *counts],
        format_func=lambda name: (
            f"{name} ({counts[name]:,})" if name in counts else name
        ),
        key="figures.label",
        persist_state="session",
        width=320,
    )
    return None if chosen == _ALL else chosen


def _by_label(boxes: BoxTable) -> None:
    counts = count_by_label(boxes)
    shown, rest = leading(counts, MOST_LABELS)
    labels = services.store().labels(state.scope())
    names = list(shown)
    colours = [labels.colour_of(name) for name in names]
    first = widgets.escape(names[0])
    share = _percent(shown[names[0]], len(boxes))

    def pick(place: int) -> None:
        wanted = [names[place]] if place < len(names) else list(counts)[MOST_LABELS:]
        filters.show_labels(labels=wanted)

    more = [widgets.plural(len(counts) - MOST_LABELS, "other")] if rest else []
    charts.bars(
        [*names, *more],
        [*shown.values(), *([rest] if rest else [])],
        colours=[*colours, *(["#999999"] if rest else [])],
        key="figures.labels",
        title=f"{share} of boxes are {first}",
        what="boxes",
        on_pick=pick,
    )


def _by_status(images: ImageTable) -> None:
    counts = {status: n for status, n in count_by_status(images).items() if n}
    statuses = list(counts)
    approved = counts.get(ReviewStatus.APPROVED, 0)

    def pick(place: int) -> None:
        word = widgets.STATUS_WORDS[statuses[place]]
        chosen = [
            image_id
            for image_id, status in zip(images.image_ids, images.status, strict=True)
            if status is statuses[place]
        ]
        filters.show_images(chosen, why=f"{word} images")

    charts.bars(
        [widgets.STATUS_WORDS[status] for status in statuses],
        list(counts.values()),
        colours=[charts.STATUS_COLOURS[status] for status in statuses],
        key="figures.statuses",
        title=f"{approved:,} of {widgets.plural(len(images), 'image')} approved",
        what="images",
        on_pick=pick,
    )


def _issues(findings: dict[Finding, tuple[str, ...]]) -> None:
    if not findings:
        st.markdown("**No issues found**", help=_FINDING_HELP)
        return
    names = sorted(findings, key=lambda name: -len(findings[name]))
    most = names[0]
    charts.bars(
        [str(name) for name in names],
        [len(findings[name]) for name in names],
        key="figures.findings",
        title=f"{widgets.plural(len(findings[most]), 'image')}: {most}",
        what="images",
        on_pick=lambda place: filters.show_images(
            findings[names[place]], why=f"images: {names[place]}"
        ),
    )


def _sizes(boxes: BoxTable, images: ImageTable, label: str | None) -> None:
    values = relative_sides(boxes, images)
    bins = histogram(values, SIDE_EDGES)
    shares = [f"{edge * 100:g}" for edge in SIDE_EDGES]
    names = [f"{a} to {b} %" for a, b in pairwise(shares)]
    middle = percent(float(np.median(values)) if len(values) else 0)
    charts.columns(
        [f"{edge * 100:.2g}" for edge in SIDE_EDGES[1:-1]] + ["100"],
        bins.counts.tolist(),
        key="figures.sizes",
        title=f"Median box side: {middle} of the image side",
        what="boxes",
        axis="box side, up to % of the image side",
        on_pick=_images_of_bins(
            boxes,
            images,
            bins.bin_of,
            names,
            "boxes with a side of {} of the image",
            label,
        ),
    )


def _crowds(boxes: BoxTable, images: ImageTable, label: str | None) -> None:
    counts = boxes_per_image(boxes, images)
    capped = np.minimum(counts, MANY_BOXES)
    bins = np.bincount(capped, minlength=min(int(capped.max()), MANY_BOXES) + 1)
    names = [str(n) if n < MANY_BOXES else f"{n}+" for n in range(len(bins))]
    empty = widgets.plural(int(bins[0]), "image")

    def pick(place: int) -> None:
        chosen = images.ids_at(np.flatnonzero(capped == place))
        noun = "box" if names[place] == "1" else "boxes"
        filters.show_images(
            chosen, why=f"images with {names[place]} {noun}{_of(label)}"
        )

    charts.columns(
        names,
        bins.tolist(),
        key="figures.crowds",
        title=f"{empty} without boxes{widgets.escape(_of(label))}",
        what="images",
        axis="boxes per image",
        on_pick=pick,
    )


def _places(boxes: BoxTable, images: ImageTable, label: str | None) -> None:
    cells = centre_cells(boxes, images)
    counts = centre_counts(cells)
    rows, columns = GRID
    middle = counts[rows // 4 : -(rows // 4), columns // 4 : -(columns // 4)].sum()
    share = _percent(int(middle), len(boxes))
    flat = np.ravel_multi_index((cells[:, 0], cells[:, 1]), GRID)

    def pick(place: int) -> None:
        chosen = images.ids_at(boxes.image[flat == place])
        row, column = divmod(place, columns)
        across, down = (
            _percent(2 * column + 1, 2 * columns),
            _percent(2 * row + 1, 2 * rows),
        )
        where = f"{across} across, {down} down"
        filters.show_images(chosen, why=f"boxes{_of(label)} around {where}")

    charts.heat_map(
        counts.tolist(),
        key="figures.places",
        title=f"{share} of box centres are in the middle quarter",
        what="box centres",
        on_pick=pick,
    )


def _shapes(boxes: BoxTable, images: ImageTable, label: str | None) -> None:
    ratios = aspect_ratios(boxes)
    bins = histogram(ratios, ASPECT_EDGES)
    tall = _percent(int(np.count_nonzero(ratios < 1)), len(boxes))
    names = [_ratio(edge) for edge in ASPECT_EDGES]
    charts.columns(
        names[:-1],
        bins.counts.tolist(),
        key="figures.shapes",
        title=f"{tall} of boxes are taller than wide",
        what="boxes",
        axis="width ÷ height, from",
        on_pick=_images_of_bins(
            boxes,
            images,
            bins.bin_of,
            names,
            "boxes with a width to height ratio from {}",
            label,
        ),
    )


def _ratio(edge: float) -> str:
    wide = f"{edge:.1f}".removesuffix(".0")
    tall = f"{1 / edge:.1f}".removesuffix(".0")
    return f"{wide}:1" if edge >= 1 else f"1:{tall}"


def _images_of_bins(
    boxes: BoxTable,
    images: ImageTable,
    bin_of: NDArray[np.intp],
    names: Sequence[str],
    words: str,
    label: str | None,
) -> Callable[[int], None]:
    def pick(place: int) -> None:
        chosen = images.ids_at(boxes.image[bin_of == place])
        why = words.format(names[place])
        filters.show_images(chosen, why=f"{why}{_of(label)}")

    return pick


def _tags(images: ImageTable) -> None:
    counts = count_tags(images)
    if not counts:
        return
    shown, _ = leading(counts, MOST_TAGS)
    names = list(shown)

    def pick(place: int) -> None:
        chosen = [
            image_id
            for image_id, tags in zip(images.image_ids, images.tags, strict=True)
            if names[place] in tags
        ]
        filters.show_images(chosen, why=f"images tagged {names[place]}")

    left, _ = st.columns([1, 2], gap="medium")
    with left:
        charts.bars(
            names,
            list(shown.values()),
            key="figures.tags",
            title=f"{widgets.plural(shown[names[0]], 'image')} tagged "
            f"{widgets.escape(names[0])}, the most frequent of "
            f"{widgets.plural(len(counts), 'tag')}",
            what="images",
            on_pick=pick,
        )


def _of(label: str | None) -> str:
    return "" if label is None else f" of {label}"


def _percent(part: int, whole: int) -> str:
    return percent(part / whole if whole else 0)


_VIEWS: Final = {
    "Health": health,
    "Corrections": corrections,
    "Thresholds": threshold_offer,
}


def statistics() -> None:
    """Draw the statistics of this dataset, one view at a time."""
    view: str = st.segmented_control(
        "Statistics",
        list(_VIEWS),
        default="Health",
        required=True,
        key="figures.view",
        label_visibility="collapsed",
        persist_state="session",
    )
    _VIEWS[view]()
