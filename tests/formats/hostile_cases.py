"""Label files that are small and ask for much, and what reading one of them costs.

Run as a program, it reads one case in every way there is and prints what came of it:
`python -m tests.formats.hostile_cases CASE`.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Final

from imagebase.errors import AnnotationFileError
from imagebase.formats.registry import read
from imagebase.formats.trees import MemoryTree

Files = dict[str, bytes]
BOX: Final = b"0 0.5 0.5 0.1 0.1\n"


def names(text: bytes) -> Files:
    return {"data.yaml": text, "labels/a.txt": BOX, "images/a.jpg": b""}


def aliases(levels: int) -> Files:
    letters = "abcdefghijklmnopqrstuvwxyz"[:levels]
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, letter in pairwise(letters):
        lines.append(f"{letter}: &{letter} [" + ",".join([f"*{before}"] * 9) + "]")
    return names("\n".join([*lines, f"names: *{letters[-1]}"]).encode())


CASES: Final[dict[str, Callable[[], Files]]] = {
    "yaml: aliases of aliases": partial(aliases, 20),
    "yaml: nested lists": lambda: names(b"names: " + b"[" * 900_000),
    "yaml: nested mappings": lambda: names(b"names: " + b"{a: " * 400_000),
    "yaml: nested blocks": lambda: names(b"names:\n" + b"- " * 900_000),
    "yaml: a key that is a list": lambda: names(b"names: {[a]: b}"),
    "yaml: many documents": lambda: names(b"--- a\n" * 300_000),
    "yaml: an open quote": lambda: names(b'names: "' + b"a\n" * 900_000),
    "yaml: class ids far apart": lambda: names(b"names: {0: a, 99999999: b, 3: c}"),
    "yaml: larger than a list of names": lambda: names(
        b"names:\n" + b"- a\n" * 600_000
    ),
    "yaml: a million names": lambda: names(b"names: [" + b"a," * 900_000 + b"]"),
}


def main(case: str) -> None:
    tree = MemoryTree(CASES[case]())
    begun = time.perf_counter()
    try:
        found = read(tree)
        outcome = f"read: {len(found.labels.names):,} labels"
    except AnnotationFileError as error:
        outcome = f"refused: {error}"
    print(json.dumps({"seconds": time.perf_counter() - begun, "outcome": outcome}))


if __name__ == "__main__":
    main(sys.argv[1])
