"""Model cards: description, size and score of a model, bundled or added."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.model_files import Model, sha256_of
from imagebase.detection.onnx.darknet_onnx import FAMILY as DARKNET
from imagebase.detection.onnx.families import FAMILY_NAMES, adapter_for, read_onnx
from imagebase.errors import ModelLoadError

CARD_FILE: Final = "card.json"
TAUGHT: Final = "taught"
KINDS: Final = {**FAMILY_NAMES, TAUGHT: "Taught by examples"}
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Score:
    """An average precision, and the images it was measured on."""

    ap: float
    ap50: float
    measured_on: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The description of a model.

    name: its current name. identity: its name when it was added, which its boxes hold.
    former_names: by which it is still found.
    family: how its files are read, of `KINDS`; asked: whether it was chosen by hand, or
        is a classifier's, whose files are read as no other family.
    input_size: of the net, width and height. sha256: as `Detector` has it.
    byte_count: of all its files. source, licence: as given by who added it.
    milliseconds: for one image when it was added; None if not measured.
    score: None where it was not evaluated.
    title: shown in lists; empty for the name and the number of labels.
    dataset_id: of the dataset whose examples teach it; empty for any other model.
    """

    name: str
    identity: str
    family: str
    input_size: Size
    labels: tuple[str, ...]
    sha256: str
    byte_count: int
    added_by: str
    added_at: datetime | None
    asked: bool = False
    description: str = ""
    source: str = ""
    licence: str = ""
    milliseconds: float | None = None
    score: Score | None = None
    former_names: tuple[str, ...] = ()
    title: str = ""
    dataset_id: str = ""

    def to_json(self) -> str:
        """Return the card as text; `from_json` gives it back."""
        document = asdict(self)
        document["added_at"] = self.added_at.isoformat() if self.added_at else None
        return json.dumps(
            {"version": _VERSION, **document}, indent=2, ensure_ascii=False
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the card that `to_json` wrote.

        Raises:
            ModelLoadError: it is damaged.
        """
        try:
            return cls(**_fields(json.loads(text)))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelLoadError(
                "The card of this model is damaged; add the model again."
            ) from error


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    document.pop("version")
    added_at, score = document["added_at"], document.get("score")
    return {
        **document,
        "added_at": datetime.fromisoformat(added_at) if added_at else None,
        "input_size": Size(*document["input_size"]),
        "labels": tuple(document["labels"]),
        "former_names": tuple(document["former_names"]),
        "score": Score(**score) if score else None,
    }


# weights/README.md says how they were measured.
_MEASURED_ON: Final = "128 photographs of COCO"
_SCORES: Final[Mapping[str, Score]] = {
    "yolov4-tiny": Score(0.268, 0.482, _MEASURED_ON),
    "yolo-fastest-1.1": Score(0.164, 0.351, _MEASURED_ON),
    "yolo-fastest-1.1-xl": Score(0.236, 0.443, _MEASURED_ON),
    "yolox-nano": Score(0.345, 0.509, _MEASURED_ON),
}
_PUBLIC_DOMAIN: Final = "Public domain (Darknet's YOLO licence)."


def read_card(folder: Path) -> ModelCard:
    """Return the card of an added model, which bears the name of its folder.

    Raises:
        ModelLoadError: the card is missing or damaged.
    """
    try:
        text = (folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(
            f"The card of the model {folder.name} cannot be read; add the model again."
        ) from error
    return replace(ModelCard.from_json(text), name=folder.name)


def card_of(model: Model) -> ModelCard:
    """Return the card of a model, bundled or added.

    Raises:
        ModelLoadError: its files or its card are damaged.
    """
    if (model.folder / CARD_FILE).is_file():
        return read_card(model.folder)
    return _card_of_files(model)


@lru_cache(maxsize=32)
def _card_of_files(model: Model) -> ModelCard:
    graph = model.graph.read_bytes()
    weights = model.weights.read_bytes() if model.weights else None
    family, size = _read(model, graph)
    licence = model.folder / "LICENSE"
    return ModelCard(
        name=model.name,
        identity=model.name,
        family=family,
        input_size=size,
        labels=model.labels,
        sha256=sha256_of(graph, weights, model.family),
        byte_count=len(graph) + len(weights or b""),
        added_by="",
        added_at=None,
        description=model.title if model.title != model.name else "",
        source=model.origin,
        licence=_text(licence) or (_PUBLIC_DOMAIN if model.is_bundled else ""),
        score=_SCORES.get(model.name) if model.is_bundled else None,
    )


def _read(model: Model, graph: bytes) -> tuple[str, Size]:
    if model.is_darknet:
        return DARKNET, plan_network(parse_cfg(graph), input_size=None).size
    adapter = adapter_for(
        read_onnx(graph), labels=len(model.labels), family=model.family
    )
    return adapter.family, adapter.net_size


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
