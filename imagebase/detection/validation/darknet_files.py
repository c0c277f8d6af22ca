"""A Darknet cfg, its weights and its names: do they belong together?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import Section, parse_cfg
from imagebase.detection.darknet.layers import (
    Convolution,
    Network,
    Output,
    Shortcut,
    stored_weights,
)
from imagebase.detection.darknet.plan import LAYERS, plan_network
from imagebase.detection.darknet.weights import header_bytes, read_weights
from imagebase.detection.model_files import names_in
from imagebase.detection.validation.file_kinds import (
    Findings,
    Upload,
    bad,
    decoded_text,
)
from imagebase.errors import ModelLoadError
from imagebase.settings import Limits

_HEADS: Final = frozenset({"yolo", "region", "gaussian_yolo"})
_KINDS: Final = {
    "region": "YOLOv2",
    "yolo": "YOLOv3 or v4",
    "gaussian": "Gaussian YOLOv3",
}
_CLASSIFIERS: Final = frozenset({"softmax", "avgpool", "cost"})
_MOST_NAMED: Final = 5
_MOST_CLASSES_TRIED: Final = 1_000
_LOOKED_AT_FROM_THE_END: Final = 4_096


@dataclass(slots=True)
class CheckedDarknet:
    """The result of the check; cfg and labels as they will be stored."""

    findings: Findings = field(default_factory=Findings)
    cfg: bytes = b""
    labels: tuple[str, ...] = ()
    input_size: Size | None = None


def check_darknet(
    cfg: Upload, weights: Upload | None, names: Upload | None, limits: Limits
) -> CheckedDarknet:
    """Validate a Darknet model without allocating its weights."""
    checked = CheckedDarknet()
    network = _check_cfg(cfg, checked)
    classes = network.heads[0].classes if network else None
    if names is not None:
        checked.labels = check_names(names, classes, checked.findings)
    if network is None or weights is None:
        return checked
    if _needs_too_much(network, limits, checked.findings):
        return checked
    _check_weights(weights, network, checked.findings)
    return checked


def _check_cfg(cfg: Upload, checked: CheckedDarknet) -> Network | None:
    text = decoded_text(cfg.data)
    if text is None:
        checked.findings.bad(f"{cfg.name} is not text; drop a Darknet cfg.")
        return None
    _say_oddities(cfg.name, text.oddities, checked.findings)
    checked.cfg = text.text.encode("utf-8")
    try:
        sections = parse_cfg(checked.cfg)
        faults = _faults(sections)
        checked.findings.extend(bad(f"{cfg.name}: {fault}") for fault in faults)
        network = None if faults else plan_network(sections, input_size=None)
    except ModelLoadError as error:
        checked.findings.bad(f"{cfg.name}: {error}")
        return None
    if network is None:
        return None
    checked.input_size = network.size
    checked.findings.good(_network_in_words(cfg.name, network))
    if network.size.width % 32 or network.size.height % 32:
        checked.findings.warning(
            f"{cfg.name} has a net of {network.size.width} × {network.size.height} "
            "pixels; Darknet's own are multiples of 32."
        )
    adds_other_sizes = any(
        network.layers[source].shape[1:] != layer.shape[1:]
        for layer in network.layers
        if isinstance(layer, Shortcut)
        for source in layer.sources
    )
    if adds_other_sizes:
        checked.findings.warning(
            f"{cfg.name} has a [shortcut] of layers of different sizes; it is read "
            "as AlexeyAB's Darknet does since 2020, which older ones did not."
        )
    return network


def _network_in_words(name: str, network: Network) -> str:
    size, heads = network.size, network.heads
    kind = _KINDS[heads[0].kind]
    return (
        f"{name}: {kind}, {len(network.layers)} layers, {len(heads)} "
        f"head{'s'[: len(heads) != 1]}, {size.width} × {size.height} pixels, "
        f"{heads[0].classes} class{'es' if heads[0].classes != 1 else ''}."
    )


def _faults(sections: Sequence[Section]) -> list[str]:
    kinds = {section.kind for section in sections}
    if not kinds & _HEADS and kinds & _CLASSIFIERS:
        last = next(end for end in reversed(sections) if end.kind in _CLASSIFIERS)
        return [
            f"this is a classifier (it ends in [{last.kind}], line {last.line}); it "
            "has no [yolo] or [region] layer, so it says which object an image shows "
            "but not where. Train a detector from it."
        ]
    unknown = [
        f"line {section.line}: [{section.kind[:40]}] is not supported"
        for section in sections[1:]
        if section.kind not in LAYERS and section.kind != "conv"
    ]
    if len(unknown) > _MOST_NAMED:
        more = len(unknown) - _MOST_NAMED
        unknown = [*unknown[:_MOST_NAMED], f"and {more} more layers of such kinds"]
    if unknown:
        return [*(f"{it}." for it in unknown), f"Supported are {', '.join(LAYERS)}."]
    return [*_wrong_filters(sections), *_disagreements(sections)]


def _wrong_filters(sections: Sequence[Section]) -> list[str]:
    """Return which convolutions do not give their heads (classes + 5) · anchors."""
    faults = []
    for before, head in pairwise(sections):
        if head.kind not in _HEADS or before.kind not in {"convolutional", "conv"}:
            continue
        anchors = len(head.integers("mask")) or head.integer("num", 1)
        classes, filters = head.integer("classes", 20), before.integer("filters", 1)
        box_channels = 9 if head.kind == "gaussian_yolo" else 5
        wanted = (classes + box_channels) * anchors
        if filters != wanted:
            line = before.options["filters"].line if before.has("filters") else 0
            faults.append(
                f"line {line or before.line}: filters={filters}, but the [{head.kind}] "
                f"on line {head.line} needs filters=(classes + {box_channels}) · "
                f"anchors = ({classes} + {box_channels}) · {anchors} = {wanted}."
            )
    return faults


def _disagreements(sections: Sequence[Section]) -> list[str]:
    heads = [section for section in sections if section.kind in _HEADS]
    if len({head.integer("classes", 20) for head in heads}) < 2:
        return []
    counts = ", ".join(
        f"{head.integer('classes', 20)} on line "
        f"{head.options['classes'].line if head.has('classes') else head.line}"
        for head in heads
    )
    return [f"its heads disagree on how many classes there are: {counts}."]


def check_names(
    names: Upload, classes: int | None, findings: Findings
) -> tuple[str, ...]:
    """Return the labels of a names file, with findings about oddities.

    Args:
        names: the file.
        classes: how many the model knows; None where that is not known.
        findings: new ones are added to it.
    """
    text = decoded_text(names.data)
    if text is None:
        findings.bad(f"{names.name} is not text; write a label a line.")
        return ()
    _say_oddities(names.name, text.oddities, findings)
    try:
        labels = names_in(text.text, file_name=names.name)
    except ModelLoadError as error:
        findings.bad(str(error))
        return ()
    count = f"{len(labels)} label{'s'[: len(labels) != 1]}"
    if not labels:
        findings.bad(f"{names.name} names no label; write one a line.")
    elif classes is not None and len(labels) != classes:
        findings.bad(
            f"{names.name} names {count} and the model knows {classes}: write one "
            "for each class, in the order of its training."
        )
    else:
        findings.good(f"{names.name}: {count}, {_some_of(labels)}.")
    warn_of_duplicates(labels, findings)
    return labels


def _some_of(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:_MOST_NAMED])
    return f"{shown} and so on" if len(labels) > _MOST_NAMED else shown


def warn_of_duplicates(labels: Sequence[str], findings: Findings) -> None:
    """Warn of labels that several classes share."""
    twins = [label for label, count in Counter(labels).items() if count > 1]
    if twins:
        named = ", ".join(twins[:_MOST_NAMED])
        findings.warning(
            f"More than one class is called {named}: their boxes will mix."
        )


def _say_oddities(name: str, oddities: Sequence[str], findings: Findings) -> None:
    for oddity in oddities:
        findings.warning(f"{name} {oddity}; it is kept as plain UTF-8 text.")


def _needs_too_much(network: Network, limits: Limits, findings: Findings) -> bool:
    if network.memory_bytes <= limits.max_model_memory_bytes:
        return False
    findings.bad(
        f"This net would need {network.memory_bytes / 1e9:.1f} GB of memory; "
        f"{limits.max_model_memory_bytes / 1e9:.1f} GB are allowed here. Give it a "
        "smaller width= and height= in [net], or fewer filters."
    )
    return True


def _check_weights(weights: Upload, network: Network, findings: Findings) -> None:
    header = header_bytes(weights.data)
    actual = (len(weights.data) - header) / 4
    if actual != network.weights:
        findings.bad(_wrong_length(weights, network, actual))
        return
    try:
        read_weights(weights.data, network)
    except ModelLoadError as error:
        findings.bad(f"{weights.name}: {error}")
        return
    findings.good(f"{weights.name}: {network.weights:,} numbers, as the cfg needs.")
    tail = np.frombuffer(weights.data[-_LOOKED_AT_FROM_THE_END:], np.uint8)
    if len(weights.data) > 10 * _LOOKED_AT_FROM_THE_END and not tail.any():
        findings.warning(
            f"{weights.name} ends in zeros only; was its download cut off? Get it "
            "again if the boxes below look wrong."
        )


def _wrong_length(weights: Upload, network: Network, actual: float) -> str:
    expected = network.weights
    size = 4 * expected + header_bytes(weights.data)
    what = "short" if actual < expected else "long"
    sentence = (
        f"{weights.name} is too {what} for this cfg: it needs {expected:,} numbers "
        f"({size:,} bytes) and the file has {actual:,.10g} ({len(weights.data):,} "
        "bytes)."
    )
    return f"{sentence} {_reason(network, actual)}"


def _reason(network: Network, actual: float) -> str:
    """Return what the length says about where the weights come from."""
    classes = _classes_that_fit(network, actual)
    if classes:
        return (
            f"It has the length for {classes} classes: is it of another training run? "
            "Use the cfg that it was trained with."
        )
    layer = _layers_that_fit(network, actual)
    if layer:
        total = sum(isinstance(layer, Convolution) for layer in network.layers)
        return (
            f"It ends after convolution {layer} of {total}: this is a start for "
            "training, not a trained model."
        )
    if actual < network.weights:
        return "Was the download cut off, or is it of another cfg?"
    return "Use the cfg that it was trained with."


def _classes_that_fit(network: Network, actual: float) -> int:
    """Return for how many classes the weights would be, were the heads made so."""
    each = fixed = 0
    for before, head in pairwise(network.layers):
        if isinstance(head, Output) and isinstance(before, Convolution):
            per_filter = before.weights // before.shape.channels
            anchors = len(head.head.mask)
            each += anchors * per_filter
            fixed += before.weights - head.head.box_channels * anchors * per_filter
    left = actual - (network.weights - fixed)
    if not each or left <= 0 or left % each:
        return 0
    return int(left // each) if left // each <= _MOST_CLASSES_TRIED else 0


def _layers_that_fit(network: Network, actual: float) -> int:
    """Return after how many convolutions the weights end exactly; 0 for none."""
    total = count = 0
    for layer in network.layers:
        total += stored_weights(layer)
        if isinstance(layer, Convolution):
            count += 1
            if total == actual:
                return count
    return 0
