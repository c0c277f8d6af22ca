"""What every detector can do, whether it looks once, often, or with several models."""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates

CANDIDATE_FLOOR: Final = 0.01
ONE_PASS: Final = "single"
ACCURATE: Final = "accurate"


class Looker(Protocol):
    """Looks at pictures; every method may be called from any thread.

    model_id: what its boxes are known by; the same files give the same id.
    sha256: tells its answers from those of other models.
    input_size: of the net; of several models, that of the first.
    wanted: the least size of a picture that it can make use of.
    passes: `ONE_PASS` or `ACCURATE`. voters: its models where there are several.
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def sha256(self) -> str: ...
    @property
    def model_id(self) -> str: ...
    @property
    def input_size(self) -> Size: ...
    @property
    def wanted(self) -> Size: ...
    @property
    def runtime(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def passes(self) -> str: ...
    @property
    def voters(self) -> tuple[str, ...]: ...

    def candidates(
        self,
        rgb: NDArray[np.uint8],
        *,
        size: Size,
        floor: float = CANDIDATE_FLOOR,
        mirrored: bool = False,
    ) -> Candidates:
        """Return every box and class above the floor, in pixels of the full size."""
        ...
