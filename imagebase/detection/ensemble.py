"""Ensemble: run several models on an image, fuse their boxes, keep who found which."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.box_fusion import FusionInput, fuse
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import CANDIDATE_FLOOR, Detector, run_mirrored
from imagebase.detection.label_mapping import map_labels

MAX_VOTERS: Final = 8
_ID_DIGITS: Final = 12
# The first model places the edges; the others do where it found nothing.
_EDGES_OF_THE_FIRST: Final = 8.0


class EnsembleDetector:
    """Two or more models whose boxes are fused; the first places the edges best.

    labels: those of the first, then those only the others know; synonyms (aeroplane,
    airplane) are one label.
    """

    def __init__(self, voters: Sequence[Detector]) -> None:
        first = voters[0]
        self.voters = tuple(voter.name for voter in voters)
        self.name = " + ".join(self.voters)
        ids = "\n".join(f"{voter.sha256} {voter.input_size}" for voter in voters)
        self.sha256 = hashlib.sha256(f"vote\n{ids}".encode()).hexdigest()
        self.model_id = f"{self.name}-{self.sha256[:_ID_DIGITS]}"
        self.input_size = first.input_size
        self.wanted = Size(
            max(voter.wanted.width for voter in voters),
            max(voter.wanted.height for voter in voters),
        )
        self.runtime = first.runtime
        kinds = dict.fromkeys(voter.precision for voter in voters)
        self.precision = "+".join(kinds)
        self.passes = first.passes
        self.labels, self._class_of = common_labels([voter.labels for voter in voters])
        self._detectors = tuple(voters)

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return one box for each object that some model found, and which models did.

        Arguments are those of `Detector.candidates`.
        """
        if mirrored:
            return run_mirrored(self, rgb, size=size, floor=floor)
        found_by_model = []
        for place, (voter, classes) in enumerate(
            zip(self._detectors, self._class_of, strict=True)
        ):
            candidates = voter.candidates(rgb, size=size, floor=floor)
            common = replace(candidates, class_id=classes[candidates.class_id])
            edges = 1.0 if place else _EDGES_OF_THE_FIRST
            found_by_model.append(FusionInput(common, edges=edges, voter=place))
        return fuse(found_by_model, floor=floor)


def common_labels(
    each: Sequence[tuple[str, ...]],
) -> tuple[tuple[str, ...], list[NDArray[np.int32]]]:
    """Return the labels of all, and which of them each model's classes are."""
    labels = list(dict.fromkeys(each[0]))
    class_of = []
    for own in each:
        known = map_labels(own, labels).names
        labels += [name for name in dict.fromkeys(own) if name not in known]
        class_of.append(_places(own, labels, known))
    return tuple(labels), class_of


def _places(
    own: Sequence[str], labels: Sequence[str], known: Mapping[str, str]
) -> NDArray[np.int32]:
    place = {name: index for index, name in enumerate(labels)}
    return np.array([place[known.get(name, name)] for name in own], np.int32)
