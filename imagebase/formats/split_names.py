"""What people call the parts of a split, and what names of files say of them."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

# What others call the parts, in columns and folders of their own.
_SPELLINGS: Final = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
# As in train2017, which is what COCO calls its folders and files.
_YEAR: Final = re.compile(r"[-_ ]?20\d\d$")
_WORD: Final = re.compile(r"[a-z]+")


def part_named(text: str) -> str | None:
    """Return the part that a word means, as people spell it; None where none."""
    return _SPELLINGS.get(text.strip().casefold())


def part_in(path: str) -> str:
    """Return the part that the innermost folder of such a name says, or nothing."""
    folders = reversed(path.split("/")[:-1])
    named = (part_named(_YEAR.sub("", folder)) for folder in folders)
    return next(filter(None, named), "")


def parts_of_files(files: Iterable[str]) -> dict[str, str]:
    """Return the part that each label file is about: as its folder says, or its name.

    Names count only where they tell parts apart: `train.csv` beside `test.csv` is one
    of two, `test.csv` alone may be anything.
    """
    by_name = {file: part_in_words(PurePosixPath(file).stem) for file in files}
    tell_apart = len({part for part in by_name.values() if part}) > 1
    return {
        file: part_in(file) or (part if tell_apart else "")
        for file, part in by_name.items()
    }


def part_in_words(text: str) -> str:
    """Return the part that a word in a text means; empty where none does."""
    words = _WORD.findall(text.casefold())
    return next(filter(None, map(part_named, words)), "")
