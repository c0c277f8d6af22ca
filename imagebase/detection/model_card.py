"""What is known of a model that somebody added: its card, kept beside its files."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Self

from imagebase.annotation import Size
from imagebase.errors import ModelLoadError

CARD_FILE: Final = "card.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Score:
    """An average precision, and the images it was measured on."""

    ap: float
    ap50: float
    measured_on: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as a person is told of it.

    name: what it is called. identity: what it was called when it was added; its boxes
    are known by that. former_names: which still lead here.
    family: how its files are read; asked: whether a person had to say which.
    input_size: of the net, width and height. sha256: as `Detector` has it.
    byte_count: of all its files. source, licence: as given by who added it.
    milliseconds: for one picture here, when it was added; None where nobody measured.
    score: None where it was not evaluated.
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

    def to_json(self) -> str:
        """Return the card as text; `from_json` gives it back."""
        kept = asdict(self)
        kept["added_at"] = self.added_at.isoformat() if self.added_at else None
        return json.dumps({"version": _VERSION, **kept}, indent=2, ensure_ascii=False)

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


def _fields(kept: dict[str, Any]) -> dict[str, Any]:
    kept.pop("version")
    added_at, score = kept["added_at"], kept.get("score")
    return {
        **kept,
        "added_at": datetime.fromisoformat(added_at) if added_at else None,
        "input_size": Size(*kept["input_size"]),
        "labels": tuple(kept["labels"]),
        "former_names": tuple(kept["former_names"]),
        "score": Score(**score) if score else None,
    }
