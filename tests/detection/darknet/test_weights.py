import struct

import numpy as np
import pytest

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.layers import Network
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.darknet.weights import read_weights
from imagebase.errors import ModelLoadError
from tests.detection.darknet.darknet_models import HEADER, ONE_BOX_CFG, one_box_weights

GOOD = one_box_weights()


@pytest.fixture
def network() -> Network:
    return plan_network(parse_cfg(ONE_BOX_CFG.encode()), input_size=None)


def test_biases_come_before_the_kernel(network: Network) -> None:
    ((kernel, bias),) = read_weights(GOOD, network)
    assert bias.tolist() == [0, 0, 0, 0, 9, -9, 9]
    assert kernel.shape == (7, 3, 32, 32)


def test_the_count_of_an_old_file_has_four_bytes(network: Network) -> None:
    old = struct.pack("<4i", 0, 1, 0, 0) + GOOD[len(HEADER) :]
    ((_, bias),) = read_weights(old, network)
    assert bias.tolist() == [0, 0, 0, 0, 9, -9, 9]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "only 0 bytes", id="empty"),
        pytest.param(GOOD[:17], "only 17 bytes", id="header"),
        pytest.param(GOOD[:-4], "file has 21510, so 1 are missing", id="missing"),
        pytest.param(GOOD + bytes(8), "has 21513, so 2 are left over", id="left over"),
        pytest.param(GOOD[:-2], "has 21510.5, so 0.5 are missing", id="cut off"),
        pytest.param(
            one_box_weights(scores=(np.nan, 0, 0)), "not finite numbers", id="nan"
        ),
    ],
)
def test_weights_of_another_net_are_refused_with_both_counts(
    content: bytes, message: str, network: Network
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        read_weights(content, network)
