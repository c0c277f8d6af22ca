"""Map a model's labels to the ground truth's: by choice, by name, by synonym."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# The same things under the names that Pascal VOC, COCO, Open Images and Darknet's own
# lists give them.
_SYNONYMS: Final = (
    ("airplane", "aeroplane", "plane", "aircraft"),
    ("motorcycle", "motorbike"),
    ("tv", "tvmonitor", "tv monitor", "television", "monitor"),
    ("couch", "sofa"),
    ("potted plant", "pottedplant", "houseplant"),
    ("dining table", "diningtable", "kitchen & dining room table"),
    ("bicycle", "bike"),
    ("person", "pedestrian", "human"),
    ("cell phone", "cellphone", "mobile phone"),
    ("traffic light", "trafficlight"),
    ("stop sign", "stopsign"),
    ("cow", "cattle"),
    ("donut", "doughnut"),
    ("hot dog", "hotdog"),
    ("hair drier", "hair dryer"),
)


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """The ground truth's names of a model's labels.

    names: for each label of the model that is one of the truth's.
    unmapped: labels of the model that have no match: their detections are not judged.
    unknown: labels of the truth that the model does not have: it misses all of them.
    """

    names: Mapping[str, str]
    unmapped: tuple[str, ...]
    unknown: tuple[str, ...]


def map_labels(
    model_labels: Sequence[str],
    labels: Sequence[str],
    *,
    choices: Mapping[str, str | None] | None = None,
    used: Collection[str] | None = None,
) -> LabelMapping:
    """Return which label each label of a model is.

    Args:
        model_labels: in order of the model's classes.
        labels: of the truth.
        choices: by hand; None or an empty name leaves a label out.
        used: labels of the truth to list as unknown if unmatched; None is
            all.
    """
    by_name = {_plain(name): name for name in reversed(labels)}
    by_synonym = {
        _plain(other): by_name[_plain(name)]
        for group in _SYNONYMS
        for name in reversed(group)
        if _plain(name) in by_name
        for other in group
    }
    chosen, names = choices or {}, {}
    for name in dict.fromkeys(model_labels):
        if name in chosen:
            target = chosen[name]
        elif name in labels:
            target = name
        else:
            target = by_name.get(_plain(name)) or by_synonym.get(_plain(name))
        if target and target in labels:
            names[name] = target
    known = set(names.values())
    return LabelMapping(
        names,
        tuple(name for name in dict.fromkeys(model_labels) if name not in names),
        tuple(
            name
            for name in labels
            if name not in known and (used is None or name in used)
        ),
    )


def _plain(name: str) -> str:
    """Return a name without case and without what stands between its words."""
    return "".join(part for part in name.casefold() if part.isalnum() or part in "&+#")
