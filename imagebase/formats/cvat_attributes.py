"""Attributes of boxes in CVAT's XML: declared with their labels, then on each box."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple, Self
from xml.etree.ElementTree import Element

from imagebase.annotation import Attributes, AttributeValue
from imagebase.annotation.attributes import (
    GROUP,
    OCCLUDED,
    read_text,
    read_value,
    stated,
    text_of,
)
from imagebase.formats.boxes import writable
from imagebase.formats.label_set_files import ExportSet
from imagebase.formats.xml_files import escaped, quoted

Z_ORDER: Final = "z_order"
_TITLE: Final = "CVAT XML 1.1"
_CHECKBOX, _NUMBER, _TEXT = "checkbox", "number", "text"
# How finely a number may be entered in CVAT.
_STEPS: Final = {int: "1", float: "0.0001"}
# What a box has a place of its own for, by the name there.
_PLACES: Final = {"occluded": OCCLUDED, "z_order": Z_ORDER, "group_id": GROUP}

Kinds = Mapping[tuple[str, str], str]


class Declared(NamedTuple):
    """An attribute of a label as CVAT has to know it before it takes it.

    kinds: of its values. least, most: of these, where they are numbers.
    """

    kinds: frozenset[type]
    least: float
    most: float

    @classmethod
    def of(cls, value: AttributeValue) -> Self:
        extent = 0.0 if isinstance(value, str) else float(value)
        return cls(frozenset({type(value)}), extent, extent)

    def joined(self, other: Self) -> Self:
        return self._replace(
            kinds=self.kinds | other.kinds,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
        )

    @property
    def input_type(self) -> str:
        if self.kinds == {bool}:
            return _CHECKBOX
        return _NUMBER if self.kinds <= {int, float} else _TEXT

    def values(self) -> tuple[str, str]:
        """Return the default, and what may be chosen, a line each."""
        if self.input_type == _CHECKBOX:
            return "false", "false\ntrue"
        if self.input_type == _TEXT:
            return "", ""
        least, most = math.floor(self.least), math.ceil(self.most)
        step = _STEPS[float if float in self.kinds else int]
        return str(least), f"{least}\n{most}\n{step}"


def declarations(export_set: ExportSet) -> dict[str, dict[str, Declared]]:
    """Return the attributes that the boxes of each label have."""
    found: dict[str, dict[str, Declared]] = {}
    for image in export_set.images:
        for one in writable(image):
            _, rest = divided(one.attributes)
            known = found.setdefault(one.label, {}) if rest else {}
            for name, value in rest.items():
                new = Declared.of(value)
                known[name] = known[name].joined(new) if name in known else new
    return found


def declaration(name: str, declared: Declared) -> str:
    """Return a declaration as it stands in the <meta> of a task."""
    default, values = declared.values()
    return (
        "            <attribute>\n"
        f"              <name>{escaped(name, title=_TITLE)}</name>\n"
        "              <mutable>False</mutable>\n"
        f"              <input_type>{declared.input_type}</input_type>\n"
        f"              <default_value>{default}</default_value>\n"
        f"              <values>{values}</values>\n"
        "            </attribute>\n"
    )


def divided(attributes: Attributes) -> tuple[Attributes, Attributes]:
    """Return what CVAT has a place of its own for, and the rest."""
    said = stated(attributes)
    own = {name: value for name, value in said.items() if _has_place(name, value)}
    return own, {name: value for name, value in said.items() if name not in own}


def _has_place(name: str, value: AttributeValue) -> bool:
    if name == OCCLUDED:
        return value is True
    # 0 is what CVAT writes where there is none.
    return name in (GROUP, Z_ORDER) and type(value) is int and value != 0


def attribute_line(name: str, value: AttributeValue) -> str:
    """Return an attribute as it stands in a box."""
    return (
        f"      <attribute name={quoted(name, title=_TITLE)}>"
        f"{escaped(text_of(value), title=_TITLE)}</attribute>\n"
    )


def kinds_in(meta: Element) -> Kinds:
    """Return how attributes are entered, by label and name, as a <meta> declares it."""
    return {
        (label.findtext("name", ""), one.findtext("name", "")): one.findtext(
            "input_type", ""
        )
        for label in meta.iter("label")
        for one in label.iterfind("attributes/attribute")
    }


def read_attributes(shape: Element, label: str, kinds: Kinds) -> dict[str, object]:
    """Return the attributes of a shape of this label."""
    found: dict[str, object] = {}
    for key, name in _PLACES.items():
        value = read_text(name, shape.get(key))
        if value not in (0, "", None):
            found[name] = value
    for one in shape.iter("attribute"):
        name, text = one.get("name", ""), one.text or ""
        kind = kinds.get((label, name), _NUMBER)
        is_text = kind not in (_CHECKBOX, _NUMBER)
        found[name] = read_value(name, text) if is_text else read_text(name, text)
    return found
