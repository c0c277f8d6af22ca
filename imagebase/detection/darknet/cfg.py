"""Darknet's .cfg text as sections, each option with the line it stands on."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from imagebase.errors import ModelLoadError

MAX_CFG_BYTES: Final = 1_000_000
MAX_LAYERS: Final = 1_000


class Option(NamedTuple):
    """A value as it stands in the file, and its line, counted from 1."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """One [section] with its options; errors of its getters name the line."""

    kind: str
    line: int
    options: dict[str, Option] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return name in self.options

    def text(self, name: str, default: str) -> str:
        """Return an option as text."""
        option = self.options.get(name)
        return default if option is None else option.text

    def integer(self, name: str, default: int | None = None, *, least: int = 0) -> int:
        """Return an option as a whole number that is not below the least.

        Raises:
            ModelLoadError: it is no such number, or absent without a default.
        """
        option = self.options.get(name)
        if option is None:
            if default is None:
                raise self.error(f"[{self.kind}] needs {name}=")
            return default
        return self._whole(name, option.text, least)

    def number(self, name: str, default: float) -> float:
        """Return an option as a float.

        Raises:
            ModelLoadError: it is not a number.
        """
        option = self.options.get(name)
        return default if option is None else self._float(name, option.text)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a comma-separated option as whole numbers of any sign."""
        return tuple(self._whole(name, part, None) for part in self._parts(name))

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a comma-separated option as floats."""
        return tuple(self._float(name, part) for part in self._parts(name))

    def error(self, problem: str, option: str | None = None) -> ModelLoadError:
        """Return an error that names the option's line, or the section's."""
        at = self.options.get(option or "")
        line = self.line if at is None else at.line
        return ModelLoadError(f"The cfg cannot be used: line {line}: {problem}.")

    def _parts(self, name: str) -> list[str]:
        parts = self.text(name, "").split(",")
        return [part.strip() for part in parts if part.strip()]

    def _whole(self, name: str, text: str, least: int | None) -> int:
        try:
            value = int(text)
        except ValueError:
            raise self.error(
                f"{name}={text[:40]} is not a whole number", name
            ) from None
        if least is not None and value < least:
            raise self.error(f"{name}={value} is below {least}", name)
        return value

    def _float(self, name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise self.error(f"{name}={text[:40]} is not a number", name) from None
        if not abs(value) < 1e6:
            raise self.error(f"{name}={text[:40]} is out of range", name)
        return value


def parse_cfg(content: bytes) -> list[Section]:
    """Return the sections of a .cfg file in order, [net] first.

    Blank lines, comments (# or ;), CRLF, a byte order mark and blanks inside lines are
    taken as Darknet takes them; of an option given twice the first counts.

    Raises:
        ModelLoadError: the text is not a Darknet network, with the line.
    """
    if len(content) > MAX_CFG_BYTES:
        raise ModelLoadError(
            f"The cfg cannot be used: it has {len(content)} bytes; a Darknet cfg "
            f"has at most {MAX_CFG_BYTES}."
        )
    sections: list[Section] = []
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    for number, raw in enumerate(lines, start=1):
        line = "".join(raw.split())
        if not line or line[0] in "#;\0":
            continue
        if line[0] == "[":
            sections.append(_section(line, number))
        else:
            _add_option(sections, line, number)
    _check_sections(sections)
    return sections


def _section(line: str, number: int) -> Section:
    kind, closed, _ = line[1:].partition("]")
    if not closed or not kind:
        raise ModelLoadError(
            f"The cfg cannot be used: line {number}: {line[:40]} is not a section."
        )
    return Section(kind.lower(), number)


def _add_option(sections: list[Section], line: str, number: int) -> None:
    name, equals, value = line.partition("=")
    if not equals or not sections:
        raise ModelLoadError(
            f"The cfg cannot be used: line {number}: expected a [section] or "
            f"name=value, found {line[:40]!r}."
        )
    # Values may be followed by a comment; Darknet's numbers stop at it by themselves.
    value = value.partition("#")[0]
    sections[-1].options.setdefault(name, Option(value, number))


def _check_sections(sections: list[Section]) -> None:
    if not sections or sections[0].kind not in {"net", "network"}:
        raise ModelLoadError(
            "The cfg cannot be used: it does not begin with [net]; is it a Darknet cfg?"
        )
    if len(sections) - 1 > MAX_LAYERS:
        raise ModelLoadError(
            f"The cfg cannot be used: it has {len(sections) - 1} layers; at most "
            f"{MAX_LAYERS} are taken."
        )
