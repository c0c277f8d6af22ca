"""Report of a training run: one self-contained HTML page."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Annotation, Box, LabelSet, Size, Source
from imagebase.evaluation.report import POLICY
from imagebase.images.decode import encode_jpeg, fitted_size, resized
from imagebase.images.draw import draw_annotations
from imagebase.training.run_folder import Evaluation
from imagebase.wording import plural

_PICTURE_SIDE: Final = 420
_WIDTH, _HEIGHT, _EDGE = 560, 220, 40

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5c6675; --line: #d5dae1;
  --paper: #fff; --accent: #1f6feb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa5b4;
  --line: #39424e; --paper: #14181d; --accent: #6ea8fe; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1160px;
  padding: 0 1rem; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.big { font-size: 2rem; font-weight: 600; } .soft { color: var(--soft); }
.row { display: flex; flex-wrap: wrap; gap: 1.5rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; } svg text { fill: var(--soft); font-size: 11px; }
figure { margin: 0; } img { max-width: 100%; border-radius: 6px; }
li { margin: .2rem 0; }
"""


@dataclass(frozen=True, slots=True)
class ExampleBox:
    """A box that a model found; corners in pixels of the image."""

    label: str
    confidence: float
    corners: tuple[float, ...]

    def annotation(self) -> Annotation:
        """Return the box as an annotation that is drawn with a solid line."""
        return Annotation(
            Box(*self.corners),
            self.label,
            source=Source.MODEL,
            confidence=self.confidence,
            accepted=True,
        )


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """A validation image with the detections before and after training."""

    image_id: str
    name: str
    before: tuple[ExampleBox, ...]
    after: tuple[ExampleBox, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the example as plain values, for `of_json`."""
        return {
            "image_id": self.image_id,
            "name": self.name,
            "before": [_plain(box) for box in self.before],
            "after": [_plain(box) for box in self.after],
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> "ExampleImage":
        """Return the example that `as_json` gave."""
        return cls(
            document["image_id"],
            document["name"],
            tuple(_box(entry) for entry in document["before"]),
            tuple(_box(entry) for entry in document["after"]),
        )


def _plain(box: ExampleBox) -> list[Any]:
    rounded = [round(corner, 2) for corner in box.corners]
    return [box.label, round(box.confidence, 4), *rounded]


def _box(values: Sequence[Any]) -> ExampleBox:
    return ExampleBox(values[0], values[1], tuple(values[2:]))


def report_page(
    metrics: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
    examples: Sequence[ExampleImage],
    *,
    picture_of: Callable[[str], NDArray[np.uint8]],
    size_of: Callable[[str], Size],
    labels: Sequence[str],
) -> str:
    """Return the HTML of the report.

    Args:
        metrics: as metrics.json has them.
        evaluations: in their order.
        examples: validation images, before and after.
        picture_of: returns the pixels of an image, at any size, by its id.
        size_of: returns the size that its boxes refer to.
        labels: in the order of their class IDs.
    """
    shown = LabelSet.of(labels)
    figures = "".join(
        _figure(example, picture_of(example.image_id), size_of(example.image_id), shown)
        for example in examples
    )
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in metrics["warnings"])
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8>{POLICY}"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Training report</title><style>{_STYLE}</style>"
        f"<h1>Training report</h1>{_head(metrics)}"
        f"<h2>Curves</h2><div class=row>{_curves(evaluations)}</div>"
        f"<h2>Labels</h2>{_labels(metrics)}"
        + (f"<h2>Warnings</h2><ul>{warnings}</ul>" if warnings else "")
        + (f"<h2>Validation images, before and after</h2>{figures}" if figures else "")
        + "</html>"
    )


def _head(metrics: Mapping[str, Any]) -> str:
    ap50, around = metrics["AP50"], metrics["AP50_interval"]
    value = "–" if ap50 is None else f"{ap50:.3f}"
    between = f" ({around[0]:.3f} to {around[1]:.3f})" if around else ""
    images = metrics["images"]
    return (
        f"<p><span class=big>AP50 {value}</span>{between}<br>"
        f"<span class=soft>on {escape(metrics['measured_on'])}</span></p>"
        f"<p class=soft>{plural(images['train'], 'training image')}, "
        f"{metrics['minutes']:.1f} minutes, {plural(metrics['steps'], 'step')}, "
        f"{metrics['epochs']:.1f} epochs; started from {escape(metrics['base'])}, "
        f"{metrics['input_size'][0]} pixels, {escape(metrics['compute'])}, "
        f"seed {metrics['settings']['seed']}.</p>"
    )


def _labels(metrics: Mapping[str, Any]) -> str:
    rows = []
    for label in metrics["labels"]:
        judged = metrics["per_label"].get(label, {})
        ap50 = judged.get("AP50")
        rows.append(
            f"<tr><td>{escape(label)}<td>{metrics['boxes']['train'].get(label, 0):,}"
            f"<td>{metrics['boxes']['val'].get(label, 0):,}"
            f"<td>{'–' if ap50 is None else f'{ap50:.3f}'}"
        )
    return (
        "<table><tr><th>Label<th>Training boxes<th>Validation boxes<th>AP50"
        f"{''.join(rows)}</table>"
    )


def _curves(evaluations: Sequence[Evaluation]) -> str:
    losses = [
        (evaluation.step, evaluation.loss)
        for evaluation in evaluations
        if evaluation.loss is not None
    ]
    ap50 = [
        (evaluation.step, evaluation.ap50)
        for evaluation in evaluations
        if evaluation.ap50 is not None
    ]
    return _curve("Loss", losses) + _curve("AP50 of validation images", ap50, most=1.0)


def _curve(
    title: str, points: Sequence[tuple[float, float]], *, most: float | None = None
) -> str:
    if not points:
        return ""
    right, top = max(x for x, _ in points) or 1, most or max(y for _, y in points) or 1
    places = [
        (
            _EDGE + x / right * (_WIDTH - 2 * _EDGE),
            _HEIGHT - _EDGE + y / top * (2 * _EDGE - _HEIGHT),
        )
        for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f"<circle cx='{x:.1f}' cy='{y:.1f}' r=3 />" for x, y in places)
    base = _HEIGHT - _EDGE
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width={_WIDTH} role=img>"
        f"<title>{escape(title)}</title><text x=0 y=14>{escape(title)}</text>"
        f"<text x=0 y={_EDGE + 4}>{top:.3g}</text><text x=0 y={base + 4}>0</text>"
        f"<text x={_WIDTH - _EDGE} y={_HEIGHT - 18} text-anchor=end>"
        f"{plural(round(right), 'step')}</text>"
        f"<path d='M{_EDGE} {_EDGE}V{base}H{_WIDTH - _EDGE}' fill=none "
        "stroke='var(--line)'/><g fill='var(--accent)'>"
        f"<polyline points='{line}' fill=none stroke='var(--accent)' "
        f"stroke-width=2 />{dots}</g></svg>"
    )


def _figure(
    example: ExampleImage, picture: NDArray[np.uint8], size: Size, labels: LabelSet
) -> str:
    cells = []
    for title, boxes in (("Before", example.before), ("After", example.after)):
        cells.append(
            f"<figure><img alt='{title}' src='{_drawn(picture, size, boxes, labels)}'>"
            f"<figcaption class=soft>{title}: {len(boxes)} found</figcaption></figure>"
        )
    return f"<p>{escape(example.name)}</p><div class=row>{''.join(cells)}</div>"


def _drawn(
    picture: NDArray[np.uint8],
    size: Size,
    boxes: Sequence[ExampleBox],
    labels: LabelSet,
) -> str:
    """Return the image with boxes, in its aspect ratio, as a data URL."""
    small = resized(np.asarray(picture), fitted_size(size, longest_side=_PICTURE_SIDE))
    names = labels.with_labels(dict.fromkeys(box.label for box in boxes))
    drawn = draw_annotations(
        small, [box.annotation() for box in boxes], labels=names, from_size=size
    )
    data = base64.b64encode(encode_jpeg(drawn)).decode("ascii")
    return f"data:image/jpeg;base64,{data}"
