"""A taught model as a detector: two nets, then what was learned from the examples."""

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import (
    CANDIDATE_FLOOR,
    ONE_PASS,
    read_files,
    run_mirrored,
)
from imagebase.detection.model_files import Model
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.feature_net import feature_net
from imagebase.detection.taught.model import TaughtModel
from imagebase.detection.taught.scores import scored
from imagebase.geometry import FloatArray, pairwise_iou

# Objects are looked at from closer than the nets see them.
WANTED: Final = Size(1024, 1024)
_ID_DIGITS: Final = 12
_SAME_OBJECT_IOU: Final = 0.6


class TaughtDetector:
    """Finds more like the examples; every method may be called from any thread.

    sha256: of the model's file. The attributes are those of `Detector`.
    """

    passes = ONE_PASS
    wanted = WANTED
    voters: tuple[str, ...] = ()

    def __init__(self, model: TaughtModel, *, name: str, identity: str = "") -> None:
        net = feature_net()
        self.model = model
        self.name = name
        self.labels = model.labels
        self.sha256 = hashlib.sha256(model.to_bytes()).hexdigest()
        self.model_id = f"{identity or name}-{self.sha256[:_ID_DIGITS]}"
        self.input_size = net.net_size
        self.runtime = net.runtime.name
        self.precision = net.runtime.precision
        self._identity = identity

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the taught model; the nets are those of the machine it goes to."""
        return _taught_again, (self.model, self.name, self._identity)

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return boxes above the floor, before those of one label are suppressed.

        Arguments are those of `Detector.candidates`.
        """
        if mirrored:
            return run_mirrored(self, rgb, size=size, floor=floor)
        return self.candidates_of(DescribedImage.of(rgb, size), floor)

    def candidates_of(
        self, scene: DescribedImage, floor: float = CANDIDATE_FLOOR
    ) -> Candidates:
        """Return the boxes on an image that nets have seen, each with its best label.

        They are in pixels of the full image and above the floor; suppressed are only
        those of another label than a surer one at the same place.
        """
        found = scored(self.model, scene)
        # Confidence has a scale for each label; scores compare.
        label = found.score.argmax(axis=1)
        rows = np.arange(len(label))
        confidence = found.confidence[rows, label]
        another = _is_another(found.xyxy, found.score[rows, label], label)
        stays = np.flatnonzero((confidence >= floor) & ~another)
        return Candidates(
            found.xyxy[stays], confidence[stays], label[stays].astype(np.int32)
        )


def _is_another(
    xyxy: FloatArray, score: FloatArray, label: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Say whether a surer box there has another label: an object has one."""
    is_other = label[:, None] != label
    is_surer = score > score[:, None]
    is_there = pairwise_iou(xyxy, xyxy) >= _SAME_OBJECT_IOU
    another: NDArray[np.bool_] = (is_other & is_surer & is_there).any(axis=1)
    return another


def _taught_again(model: TaughtModel, name: str, identity: str) -> TaughtDetector:
    return TaughtDetector(model, name=name, identity=identity)


def load_taught(model: Model) -> TaughtDetector:
    """Return the detector of a taught model's file.

    Raises:
        ModelLoadError: it cannot be read, is damaged, or is of a newer version.
    """
    content, _ = read_files(model)
    taught = TaughtModel.from_bytes(content, name=model.graph.name)
    return TaughtDetector(taught, name=model.name, identity=model.identity)
