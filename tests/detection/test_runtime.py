import subprocess
import sys

import numpy as np
import pytest

from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.runtime import Runtime, has_bf16, load_runtime
from imagebase.errors import ModelLoadError
from tests.detection.darknet.darknet_models import ONE_BOX_CFG, one_box_weights

GRAPH = darknet_to_onnx(ONE_BOX_CFG.encode(), one_box_weights())
BLOB = np.zeros((1, 3, 32, 32), np.float32)


def load(runtime: str, precision: str, graph: bytes = GRAPH) -> Runtime:
    return load_runtime(graph, outputs=["head_1"], runtime=runtime, precision=precision)


def test_openvino_comes_first_and_takes_bf16_where_the_cpu_has_it() -> None:
    loaded = load("auto", "auto")
    assert loaded.name == "openvino"
    assert loaded.precision == ("bf16" if has_bf16() else "f32")


@pytest.mark.parametrize("runtime", ["openvino", "opencv"])
def test_outputs_are_arrays_of_their_own(runtime: str) -> None:
    loaded = load(runtime, "f32")
    (before,) = loaded.run(BLOB)
    before[:] = 5
    (after,) = loaded.run(BLOB)
    assert after.dtype == np.float32
    assert after.ravel().tolist() == [0, 0, 0, 0, 9, -9, 9]


def test_openvino_reports_nothing_to_its_makers() -> None:
    code = (
        "import sys; from imagebase.detection.runtime import has_openvino;"
        "assert has_openvino(); assert sys.modules['openvino_telemetry'] is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bf16_with_opencv_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="opencv computes in f32 only"):
        load("opencv", "bf16")


def test_bf16_on_a_cpu_without_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagebase.detection.runtime.has_bf16", lambda: False)
    with pytest.raises(ModelLoadError, match="This CPU has no bf16"):
        load("openvino", "bf16")
    assert load("openvino", "auto").precision == "f32"


def test_opencv_stands_in_where_openvino_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagebase.detection.runtime.has_openvino", lambda: False)
    assert load("auto", "auto").name == "opencv"
    with pytest.raises(ModelLoadError, match="OpenVINO is not installed"):
        load("openvino", "auto")


@pytest.mark.parametrize(("runtime", "precision"), [("cuda", "f32"), ("auto", "int8")])
def test_unknown_settings_are_answered_with_the_known(
    runtime: str, precision: str
) -> None:
    with pytest.raises(ModelLoadError, match="choose of auto, openvino, opencv"):
        load(runtime, precision)


@pytest.mark.parametrize("runtime", ["openvino", "opencv"])
def test_a_graph_that_cannot_be_loaded_is_refused(runtime: str) -> None:
    with pytest.raises(ModelLoadError, match="cannot load this model"):
        load(runtime, "f32", GRAPH.replace(b"Conv", b"Cxnv"))


# Two threads that make OpenVINO's first tensor at once used to wait for each other.
TWO_FIRST_RUNS = """
import threading
import numpy as np
from tests.detection.test_runtime import BLOB, load

def look() -> None:
    together.wait()
    load("openvino", "f32").run(BLOB)

together = threading.Barrier(2)
threads = [threading.Thread(target=look, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(timeout=60)
    assert not thread.is_alive(), "the two threads wait for each other"
"""


def test_the_first_runs_of_a_process_may_come_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_FIRST_RUNS], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
