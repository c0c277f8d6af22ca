"""XML in and out: without entities or network access, and only what XML can hold."""

import re
from collections.abc import Iterator
from typing import IO, Final
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from imagebase.errors import AnnotationFileError, ExportError
from imagebase.formats.label_set_files import FileTree

# https://www.w3.org/TR/xml/#charsets
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str, *, title: str) -> str:
    """Return text as it stands between tags.

    Args:
        title: the format that is written, for the error.

    Raises:
        ExportError: it holds a character that XML does not allow.
    """
    return escape(_allowed(text, title))


def quoted(text: str, *, title: str) -> str:
    """Return text as an attribute's value, in its quotes; errors as in `escaped`."""
    return quoteattr(_allowed(text, title))


def _allowed(text: str, title: str) -> str:
    if _NOT_XML.search(text):
        raise ExportError(
            f"{text!r} holds a character that XML does not allow; rename it, or choose "
            f"another format than {title}."
        )
    return text


def root_of(tree: FileTree, file: str) -> Element:
    """Return the outermost element with all that is in it.

    Raises:
        AnnotationFileError: it is not XML, or declares entities.
    """
    *_, (_, root) = _events(tree, file, ("end",))
    return root


def root_tag_of(tree: FileTree, file: str) -> str:
    """Return the name of the outermost element, without reading on; errors as above."""
    for _, element in _events(tree, file, ("start",)):
        return element.tag
    raise AnnotationFileError("it is not XML (it is empty)")


def children_of(tree: FileTree, file: str) -> Iterator[Element]:
    """Yield the elements right below the outermost one, one by one, each whole.

    Raises:
        AnnotationFileError: as above. What was yielded before is sound.
    """
    root: Element | None = None
    depth = 0
    for event, element in _events(tree, file, ("start", "end")):
        root = element if root is None else root
        depth += 1 if event == "start" else -1
        if event == "end" and depth == 1:
            yield element
            root.clear()


def _events(
    tree: FileTree, file: str, events: tuple[str, ...]
) -> Iterator[tuple[str, Element]]:
    with tree.open(file) as opened:
        try:
            yield from _parsed(opened, events)
        except DefusedXmlException as error:
            raise AnnotationFileError(
                "it declares entities, which is not safe"
            ) from error
        # An encoding that Python does not know is a LookupError.
        except (ParseError, ValueError, LookupError) as error:
            raise AnnotationFileError(f"it is not XML ({error})") from error


def _parsed(file: IO[bytes], events: tuple[str, ...]) -> Iterator[tuple[str, Element]]:
    yield from iterparse(file, events=events, forbid_dtd=False)
