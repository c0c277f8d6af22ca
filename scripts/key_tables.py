"""Write the tables of keys in the documents: python -m scripts.key_tables."""

import re
from typing import Final

from imagebase.settings import PROJECT_ROOT
from imagebase.ui.edit import keys

DOCUMENTS: Final = ("README.md", "docs/correcting.md")
_TABLE: Final = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end of keys -->)", re.S)


def updated(text: str) -> str:
    """Return a document with its tables of keys as they are in the code."""
    return _TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], text)


def _table(kind: str) -> str:
    if kind == "presets":
        rows = [["action", *keys.PRESETS], ["---"] * 5, *_presets()]
    else:
        rows = [["key", "action"], ["---"] * 2, *keys.listed()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _presets() -> list[list[str]]:
    """Return a row for each action whose keys differ between the presets."""
    rows = [
        [
            row.words,
            *(keys.shown(row, row.in_preset(preset)) for preset in keys.PRESETS),
        ]
        for row in keys.KEYS
    ]
    return [row for row in rows if len(set(row)) > 2]


def main() -> None:
    """Rewrite the documents."""
    for name in DOCUMENTS:
        path = PROJECT_ROOT / name
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
