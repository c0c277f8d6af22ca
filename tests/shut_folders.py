"""A folder that nobody can open, root neither, whom tests may run as."""

import os
from pathlib import Path


def make_shut_folder(folder: Path) -> str:
    """Make one deep inside, by a path longer than any may be; return its first part."""
    names = ["a" * 250] * 18
    inside = os.open(folder, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=inside)
        deeper = os.open(name, os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = deeper
    os.close(inside)
    return names[0]
