"""Adding dropped files despite interruptions."""

import numpy as np
import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import RerunData, RerunException

from imagebase.images.decode import encode_png
from tests.app_fixtures import Tab, records


def png(shade: int) -> bytes:
    return encode_png(np.full((48, 64, 3), shade, np.uint8))


def test_rerun_in_the_middle_leaves_no_file_behind(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [RerunException(RerunData())]
    draw = DeltaGenerator.progress

    def progress(bar: DeltaGenerator, value: float, text: str = "") -> DeltaGenerator:
        """Say how far it is, and be cut short once, as by a press elsewhere."""
        if waiting and "2\\.png" in text:
            raise waiting.pop()
        return draw(bar, value, text=text)

    monkeypatch.setattr(DeltaGenerator, "progress", progress)
    tab.uploads(*((f"{shade}.png", png(shade)) for shade in range(5)))
    assert not waiting
    assert len(records()) == 5
    assert "**5 images added**" in tab.words()
