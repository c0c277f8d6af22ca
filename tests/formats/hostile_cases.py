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


def coco(image: bytes) -> Files:
    rest = b'], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}'
    return {"coco.json": b'{"images": [' + image + rest}


def masks(side: int) -> Files:
    mask = b'{"size": [%d, %d], "counts": [0, %d]}' % (side, side, side * side)
    return {
        "coco.json": b'{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": '
        b'[{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": '
        + mask
        + b'}], "categories": [{"id": 1, "name": "cat"}]}'
    }


def entities(levels: int) -> bytes:
    lines = [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, levels)]
    text = "<!DOCTYPE a [<!ENTITY e0 'x'>" + "".join(lines)
    return f"{text}]><annotation>&e{levels - 1};</annotation>".encode()


def default_attributes(count: int) -> bytes:
    """Elements of four bytes, each with a value of many that the document gives all."""
    declared = b"<!DOCTYPE annotation [<!ATTLIST a b CDATA '" + b"x" * count + b"'>]>"
    return declared + b"<annotation>" + b"<a/>" * count + b"</annotation>"


def track(frames: int) -> bytes:
    box = '<box frame="{}" outside="0" keyframe="1" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    boxes = box.format(0) + box.format(frames)
    size = f"<meta><task><size>{frames}</size></task></meta>"
    return (
        f'<annotations>{size}<track id="0" label="cat">{boxes}</track></annotations>'
    ).encode()


def table(rows: bytes) -> Files:
    return {"a.csv": b"filename,class,xmin,ymin,xmax,ymax\n" + rows}


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
    "json: nested lists": lambda: coco(b'{"a": ' + b"[" * 5_000_000),
    "json: a huge number": lambda: coco(
        b'{"id": ' + b"1" * 5_000_000 + b', "file_name": "a.jpg"}'
    ),
    "json: an item of many parts": lambda: coco(b"[" + b"[]," * 4_000_000 + b"[]]"),
    "json: many images": lambda: coco(b'{"id":1},' * 100_000 + b'{"id":2}'),
    "json: a key many times": lambda: coco(b"{" + b'"id":1,' * 1_500_000 + b'"id":2}'),
    "json: a mask of a claimed size": lambda: masks(10**9),
    "xml: entities": lambda: {"a.xml": entities(20)},
    "xml: attributes by default": lambda: {"a.xml": default_attributes(100_000)},
    "xml: nested elements": lambda: {"a.xml": b"<annotation>" + b"<a>" * 2_000_000},
    "xml: many elements": lambda: {
        "a.xml": b"<annotation>" + b"<a/>" * 2_000_000 + b"</annotation>"
    },
    "xml: many attributes": lambda: {
        "a.xml": b"<annotation "
        + b" ".join(b"a%d='1'" % number for number in range(500_000))
        + b"></annotation>"
    },
    "xml: a track over many frames": lambda: {"a.xml": track(10**9)},
    "csv: a row of many cells": lambda: table(b"a.jpg" + b"," * 40_000_000),
    "csv: a row over many lines": lambda: table(b'"a\n",' * 6_000_000),
    "csv: an open quote": lambda: table(b'"' + b"a" * 40_000_000),
    "csv: many short rows": lambda: table(b"a.jpg,cat,1,2,3,4\n" * 50_000),
    "text: a million names": lambda: {
        **names(b""),
        "data.yaml": b"a: b",
        "obj.names": b"\n".join(b"name%d" % number for number in range(1_000_000)),
    },
    "text: a million times one name": lambda: {
        **names(b""),
        "data.yaml": b"a: b",
        "obj.names": b"cat\n" * 1_000_000,
    },
    "text: many boxes of an image": lambda: {
        **names(b"names: [cat]"),
        "labels/a.txt": BOX * 100_000,
    },
    "text: a line that looks like DOTA": lambda: {
        "a.txt": b"1 2 3 4 5 6 7 8 " + b"a" * 200_000 + b" 5 5"
    },
    "text: a line that looks like Keras": lambda: {
        "a.txt": b"a.jpg 1,1,1,1,1" * 50_000 + b" x"
    },
    "text: frames without an end": lambda: {
        "seqinfo.ini": b"[Sequence]\nseqLength=999999999\nimDir=img1\nimExt=.jpg\n",
        "gt/gt.txt": b"1,1,1,1,5,5,1,1,1\n999999998,1,1,1,5,5,1,1,1\n",
    },
    "text: a count of many faces": lambda: {
        "wider_face_train_bbx_gt.txt": b"a.jpg\n999999999\n1 1 5 5 0 0 0 0 0 0\n"
    },
}


def main(case: str) -> None:
    tree = MemoryTree(CASES[case]())
    begun = time.process_time()
    try:
        found = read(tree)
        outcome = f"read: {len(found.labels.names):,} labels"
    except AnnotationFileError as error:
        outcome = f"refused: {error}"
    print(json.dumps({"seconds": time.process_time() - begun, "outcome": outcome}))


if __name__ == "__main__":
    main(sys.argv[1])
