"""A model as one zip, to be taken elsewhere."""

import io
import zipfile
from collections.abc import Iterator
from typing import Final

from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.model_cards import card_of
from imagebase.detection.model_files import (
    CFG,
    CONVERTED,
    NAMES,
    REPORTS,
    WEIGHTS,
    Model,
)

LICENCE: Final = "LICENCE.txt"


def model_zip(model: Model) -> bytes:
    """Return a model's files in a zip, and what its training told where it was kept.

    A Darknet model is there as ONNX too, for whatever does not read Darknet.

    Raises:
        ModelLoadError: its files or its card are damaged.
        OSError: they cannot be read.
    """
    out = io.BytesIO()
    # Weights do not get smaller by packing.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _files(model):
            archive.writestr(name, content)
    return out.getvalue()


def _files(model: Model) -> Iterator[tuple[str, bytes]]:
    graph = model.graph.read_bytes()
    if model.weights is None:
        yield model.graph.name, graph
    else:
        weights = model.weights.read_bytes()
        yield CFG, graph
        yield WEIGHTS, weights
        yield CONVERTED, darknet_to_onnx(graph, weights, labels=model.labels)
    yield NAMES, "".join(f"{label}\n" for label in model.labels).encode()
    licence = card_of(model).licence
    if licence:
        yield LICENCE, licence.encode()
    for name in REPORTS:
        path = model.folder / name
        if path.is_file():
            yield name, path.read_bytes()
