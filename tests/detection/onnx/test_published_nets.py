"""Full YOLOv2, v3 and v4; benchmarks/agreement.py compares them with OpenCV's."""

import pytest

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.validation import validate_upload
from imagebase.settings import DEMO_LIMITS, Limits
from tests.detection.onnx.published_nets import PUBLISHED_NETS, PUBLISHED_WEIGHTS


@pytest.mark.parametrize("name", PUBLISHED_NETS)
def test_net_needs_as_many_weights_as_its_authors_published(name: str) -> None:
    network = plan_network(parse_cfg(PUBLISHED_NETS[name](416)), input_size=None)
    assert network.weights == PUBLISHED_WEIGHTS[name]


def test_memory_of_the_largest_is_worked_out_from_its_cfg_alone() -> None:
    network = plan_network(parse_cfg(PUBLISHED_NETS["yolov4"](608)), input_size=None)
    assert DEMO_LIMITS.max_model_memory_bytes < network.memory_bytes
    assert network.memory_bytes < Limits().max_model_memory_bytes
    files = [("obj.cfg", PUBLISHED_NETS["yolov4"](608)), ("obj.weights", bytes(50))]
    said = [
        finding.text for finding in validate_upload(files, limits=DEMO_LIMITS).findings
    ]
    assert any(
        "This net would need 1.5 GB of memory; 1.0 GB are" in sentence
        for sentence in said
    )
