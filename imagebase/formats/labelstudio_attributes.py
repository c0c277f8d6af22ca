"""Attributes in Label Studio's tasks: controls of the config that are per region."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from imagebase.annotation import AttributeValue
from imagebase.annotation.attributes import FLAGS, read_text, stated, text_of
from imagebase.formats.boxes import writable
from imagebase.formats.label_set_files import ExportImage
from imagebase.formats.xml_files import quoted

_TITLE: Final = "Label Studio JSON"
_CHOICES, _TEXT_AREA = "choices", "textarea"
# What a person says of a region in one control, and where its value has that.
CONTROLS: Final = {
    _CHOICES: "choices",
    _TEXT_AREA: "text",
    "rating": "rating",
    "number": "number",
    "datetime": "datetime",
    "taxonomy": "taxonomy",
}
# Names of the controls that every config has.
_TAKEN: Final = frozenset({"label", "image", "area"})

Result = Mapping[str, Any]


def holds(name: str, value: AttributeValue) -> bool:
    """Say whether a control can bear the name of this attribute."""
    return name not in _TAKEN


def controls(images: Iterable[ExportImage], *, to_name: str) -> str:
    """Return the controls that the attributes of these images' boxes need."""
    is_flag: dict[str, bool] = {}
    for image in images:
        for one in writable(image):
            for name, value in _held(one.attributes).items():
                is_flag[name] = is_flag.get(name, True) and isinstance(value, bool)
    return "".join(
        _choices(name, to_name) if only_flags else _text_area(name, to_name)
        for name, only_flags in sorted(is_flag.items())
    )


def _held(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {k: v for k, v in stated(attributes).items() if holds(k, v)}


def _choices(name: str, to_name: str) -> str:
    return (
        f'  <Choices name={quoted(name, title=_TITLE)} toName="{to_name}" '
        'perRegion="true" choice="single">\n'
        '    <Choice value="true"/>\n'
        '    <Choice value="false"/>\n'
        "  </Choices>\n"
    )


def _text_area(name: str, to_name: str) -> str:
    return (
        f'  <TextArea name={quoted(name, title=_TITLE)} toName="{to_name}" '
        'perRegion="true" editable="true"/>\n'
    )


def results(
    region: Result, attributes: Mapping[str, AttributeValue]
) -> list[dict[str, Any]]:
    """Return what is said of a region, a result for each attribute."""
    place = {k: v for k, v in region["value"].items() if k != "rectanglelabels"}
    shared = {k: v for k, v in region.items() if k not in ("score", "value")}
    found = []
    for name, value in _held(attributes).items():
        kind = _CHOICES if isinstance(value, bool) else _TEXT_AREA
        said = {**place, CONTROLS[kind]: [text_of(value)]}
        found.append({**shared, "type": kind, "from_name": name, "value": said})
    return found


def said_by_region(found: Sequence[object]) -> dict[str, dict[str, object]]:
    """Return what is said of each region by its id; also the note beside it."""
    by_region: dict[str, dict[str, object]] = {}
    for one in found:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            continue
        said = by_region.setdefault(one["id"], {})
        key = CONTROLS.get(str(one.get("type")))
        value = one.get("value")
        if key and isinstance(value, dict):
            name = str(one.get("from_name", ""))
            said[name] = _joined(name, value.get(key), str(one["type"]))
        meta = one.get("meta")
        if isinstance(meta, dict) and "text" in meta:
            said["description"] = _joined("description", meta["text"], _TEXT_AREA)
    return by_region


def _joined(name: str, value: object, kind: str) -> object:
    """Return several texts as one; what is nested stays, to be reported."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return value
    found = read_text(name, ", ".join(value))
    # A word that was typed is no choice between true and false.
    is_typed = kind == _TEXT_AREA and isinstance(found, bool) and name not in FLAGS
    return ", ".join(value) if is_typed else found
