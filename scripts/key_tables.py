"""Write the tables of keys in the documents: python -m scripts.key_tables."""

import re
from typing import Final

from imagebase.settings import PROJECT_ROOT
from imagebase.ui.edit import keys

DOCUMENTS: Final = ("README.md",)
_TABLE: Final = re.compile(r"(<!-- keys -->\n).*?(<!-- end of keys -->)", re.S)


def updated(text: str) -> str:
    """Return a document with its tables of keys as they are in the code."""
    return _TABLE.sub(lambda found: found[1] + _table() + found[2], text)


def _table() -> str:
    rows = [["key", "action"], ["---", "---"], *keys.listed()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Rewrite the documents."""
    for name in DOCUMENTS:
        path = PROJECT_ROOT / name
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
