"""Attributes of a Pascal VOC object: its flags, its pose, and a list of the rest."""

from typing import Final
from xml.etree.ElementTree import Element

from imagebase.annotation import Attributes
from imagebase.annotation.attributes import (
    DIFFICULT,
    FLAGS,
    OCCLUDED,
    POSE,
    TRUNCATED,
    read_text,
    stated,
    text_of,
)
from imagebase.formats.xml_files import escaped

_TITLE: Final = "Pascal VOC XML"
_NO_POSE: Final = "Unspecified"
# In an <object>, what is no attribute of it.
_STRUCTURE: Final = frozenset({"name", "type", "bndbox", "robndbox", "polygon"})


def elements(attributes: Attributes) -> tuple[str, str]:
    """Return the elements before an object's <bndbox>, and those after it."""
    rest = dict(stated(attributes))
    flags = {name: rest.pop(name) for name in FLAGS if rest.get(name) is True}
    has_pose = isinstance(rest.get(POSE), str) and rest[POSE] != _NO_POSE
    pose = escaped(str(rest.pop(POSE)), title=_TITLE) if has_pose else _NO_POSE
    # VOC has had it since 2009; few programs expect it of every object.
    occluded = "\t\t<occluded>1</occluded>\n" if OCCLUDED in flags else ""
    described = (
        f"\t\t<pose>{pose}</pose>\n"
        f"\t\t<truncated>{int(TRUNCATED in flags)}</truncated>\n"
        f"{occluded}"
        f"\t\t<difficult>{int(DIFFICULT in flags)}</difficult>\n"
    )
    return described, _attribute_list(rest)


def _attribute_list(attributes: Attributes) -> str:
    """Return what VOC has no element for, as CVAT and Datumaro write it."""
    if not attributes:
        return ""
    lines = (
        "\t\t\t<attribute>\n"
        f"\t\t\t\t<name>{escaped(name, title=_TITLE)}</name>\n"
        f"\t\t\t\t<value>{escaped(text_of(value), title=_TITLE)}</value>\n"
        "\t\t\t</attribute>\n"
        for name, value in attributes.items()
    )
    return f"\t\t<attributes>\n{''.join(lines)}\t\t</attributes>\n"


def read_attributes(element: Element) -> dict[str, object]:
    """Return what an object says of itself, those without a meaning here too."""
    found: dict[str, object] = {}
    for child in element:
        if child.tag == "attributes":
            for one in child.iter("attribute"):
                name = one.findtext("name") or ""
                found[name] = read_text(name, one.findtext("value"))
        elif len(child) and child.tag not in _STRUCTURE:
            found[child.tag] = list(child)
        elif child.tag not in _STRUCTURE and not _says_no_pose(child):
            found[child.tag] = read_text(child.tag, child.text)
    return found


def _says_no_pose(element: Element) -> bool:
    said = (element.text or "").strip().lower()
    return element.tag == POSE and said == _NO_POSE.lower()
