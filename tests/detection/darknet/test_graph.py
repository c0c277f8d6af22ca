"""Every layer against NumPy loops written after Darknet's C code, in both runtimes."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.onnx.families import read_onnx
from imagebase.detection.runtime import load_runtime
from tests.detection.darknet.darknet_models import (
    Array,
    convolve,
    maxpool,
    net_cfg,
    random_floats,
    reorg,
    weights_file,
)

RUNTIMES = ("openvino", "opencv")
HEIGHT, WIDTH = 6, 8


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def picture() -> Array:
    return random_floats(3 * HEIGHT * WIDTH, seed=1).reshape(3, HEIGHT, WIDTH)


def run(layers: str, weights: bytes, picture: Array, runtime: str) -> Array:
    """Return the six channels before the head."""
    graph = darknet_to_onnx(net_cfg(layers), weights)
    outputs = tuple(read_onnx(graph).outputs)
    loaded = load_runtime(graph, outputs=outputs, runtime=runtime, precision="f32")
    (output,) = loaded.run(np.ascontiguousarray(picture[None]))
    return np.squeeze(output, axis=0)


def conv_cfg(filters: int = 6, activation: str = "linear", **options: int) -> str:
    more = "".join(f"{name}={value}\n" for name, value in options.items())
    return f"[convolutional]\nfilters={filters}\nactivation={activation}\n{more}"


# A first convolution of size 1 that makes six channels of three.
BIAS, KERNEL = random_floats(6, seed=2), random_floats(18, seed=3)
FIRST = conv_cfg()
FIRST_WEIGHTS = weights_file(BIAS, KERNEL)


def first(picture: Array) -> Array:
    return convolve(picture, KERNEL.reshape(6, 3, 1, 1), BIAS)


def expect(actual: Array, expected: Array) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "groups", "dilation"),
    [
        pytest.param(1, 1, 0, 1, 1, id="one by one"),
        pytest.param(3, 2, 1, 1, 1, id="three by three, stride two"),
        pytest.param(2, 1, 0, 1, 1, id="even kernel, no padding"),
        pytest.param(3, 1, 1, 3, 1, id="grouped"),
        pytest.param(3, 1, 1, 1, 2, id="dilated"),
    ],
)
def test_convolution_is_darknets(
    size: int,
    stride: int,
    padding: int,
    groups: int,
    dilation: int,
    picture: Array,
    runtime: str,
) -> None:
    bias = random_floats(6)
    kernel = random_floats(6 * 3 // groups * size**2, seed=4)
    layers = conv_cfg(
        size=size, stride=stride, padding=padding, groups=groups, dilation=dilation
    )
    expected = convolve(
        picture,
        kernel.reshape(6, 3 // groups, size, size),
        bias,
        stride=stride,
        padding=padding * dilation,
        groups=groups,
        dilation=dilation,
    )
    expect(run(layers, weights_file(bias, kernel), picture, runtime), expected)


def test_pad_means_half_the_kernel(picture: Array, runtime: str) -> None:
    bias, kernel = random_floats(6), random_floats(6 * 3 * 25, seed=4)
    actual = run(conv_cfg(size=5, pad=1), weights_file(bias, kernel), picture, runtime)
    expect(actual, convolve(picture, kernel.reshape(6, 3, 5, 5), bias, padding=2))


def test_batch_norm_is_folded_into_the_kernel(picture: Array, runtime: str) -> None:
    bias, scale, mean = (random_floats(6, seed=seed) for seed in (10, 11, 12))
    variance = np.square(random_floats(6, seed=13)) + np.float32(0.1)
    kernel = random_floats(18, seed=14)
    weights = weights_file(bias, scale, mean, variance, kernel)
    actual = run(conv_cfg(batch_normalize=1), weights, picture, runtime)
    plain = convolve(picture, kernel.reshape(6, 3, 1, 1), np.zeros(6, np.float32))
    # normalize_cpu, scale_bias and add_bias, one after the other
    each = (slice(None), None, None)
    normal = (plain - mean[each]) / np.sqrt(variance[each] + np.float32(1e-5))
    expect(actual, normal * scale[each] + bias[each])


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("linear", lambda x: x),
        ("leaky", lambda x: np.where(x > 0, x, 0.1 * x)),
        ("relu", lambda x: np.where(x > 0, x, 0)),
        ("logistic", lambda x: 1 / (1 + np.exp(-x))),
        ("swish", lambda x: x / (1 + np.exp(-x))),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        ("relu6", lambda x: np.clip(x, 0, 6)),
        ("tanh", np.tanh),
        (
            "hard_mish",
            lambda x: np.where(x > 0, x, np.where(x > -2, x * x / 2 + x, 0)),
        ),
    ],
)
def test_activation(
    activation: str, formula: Callable[[Array], Array], picture: Array, runtime: str
) -> None:
    actual = run(conv_cfg(activation=activation), FIRST_WEIGHTS, picture, runtime)
    expect(actual, formula(first(picture)))


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [
        pytest.param(2, 2, None, id="halves"),
        pytest.param(2, 1, None, id="keeps the size: one row at the far side"),
        pytest.param(3, 1, None, id="symmetric"),
        pytest.param(5, 1, None, id="spatial pyramid"),
        pytest.param(3, 2, None, id="overlapping"),
        pytest.param(2, 2, 0, id="no padding"),
    ],
)
def test_maxpool_pads_as_darknet_does(
    size: int, stride: int, padding: int | None, picture: Array, runtime: str
) -> None:
    option = "" if padding is None else f"padding={padding}\n"
    layers = f"{FIRST}[maxpool]\nsize={size}\nstride={stride}\n{option}"
    sides = size - 1 if padding is None else padding
    expected = maxpool(first(picture), size=size, stride=stride, padding=sides)
    expect(run(layers, FIRST_WEIGHTS, picture, runtime), expected)


def test_route_takes_one_group_of_channels(picture: Array, runtime: str) -> None:
    layers = FIRST + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"
    layers += "[route]\nlayers=-1,1\n"
    half = first(picture)[3:]
    actual = run(layers, FIRST_WEIGHTS, picture, runtime)
    expect(actual, np.concatenate([half, half]))


def test_route_joins_in_the_order_given(picture: Array, runtime: str) -> None:
    layers = FIRST + "[route]\nlayers=0\ngroups=2\n[route]\nlayers=0\ngroups=2\n"
    layers += "group_id=1\n[route]\nlayers=-1,-2\n"
    whole = first(picture)
    actual = run(layers, FIRST_WEIGHTS, picture, runtime)
    expect(actual, np.concatenate([whole[3:], whole[:3]]))


def test_shortcut_adds_and_activates(picture: Array, runtime: str) -> None:
    layers = FIRST + "[dropout]\nprobability=.5\n[shortcut]\nfrom=-2\nactivation=leaky"
    doubled = 2 * first(picture)
    expect(
        run(layers, FIRST_WEIGHTS, picture, runtime),
        np.where(doubled > 0, doubled, 0.1 * doubled),
    )


def test_shortcut_from_fewer_channels_leaves_the_rest(
    picture: Array, runtime: str
) -> None:
    layers = FIRST + "[route]\nlayers=0\ngroups=2\n[route]\nlayers=0\n"
    layers += "[shortcut]\nfrom=1\nactivation=linear\n"
    expected = first(picture)
    expected[:3] += expected[:3].copy()
    expect(run(layers, FIRST_WEIGHTS, picture, runtime), expected)


def test_shortcut_from_more_channels_adds_the_first(
    picture: Array, runtime: str
) -> None:
    wide = random_floats(12, seed=5), random_floats(36, seed=6)
    layers = conv_cfg(12) + "[route]\nlayers=0\ngroups=2\ngroup_id=1\n"
    layers += "[shortcut]\nfrom=0\nactivation=linear\n"
    whole = convolve(picture, wide[1].reshape(12, 3, 1, 1), wide[0])
    actual = run(layers, weights_file(*wide), picture, runtime)
    expect(actual, whole[6:] + whole[:6])


# Half as many rows and columns, and again six channels of the six.
SMALLER = conv_cfg(stride=2)
SMALLER_PARTS = random_floats(6, seed=21), random_floats(36, seed=22)


def smaller(whole: Array) -> Array:
    bias, kernel = SMALLER_PARTS
    return convolve(whole, kernel.reshape(6, 6, 1, 1), bias, stride=2)


def shortcut_multilayer(
    before: Array, others: list[Array], weights: Array | None, normalization: str
) -> Array:
    """Return AlexeyAB's shortcut_multilayer_cpu, number by number."""
    layers, flat = len(others) + 1, before.ravel()
    out = np.zeros(flat.size, np.float64)
    each = 0 if weights is None else weights.size // layers
    for at in range(flat.size):
        shares = [1.0] * layers
        if weights is not None:
            step = flat.size // each
            own = [float(weights[at // step + i * each]) for i in range(layers)]
            if normalization == "relu":
                own = [max(value, 0) for value in own]
            if normalization == "softmax":
                own = [float(np.exp(value - max(own))) for value in own]
            total = 1.0 if normalization == "none" else sum(own) + 0.0001
            shares = [value / total for value in own]
        out[at] = flat[at] * shares[0]
        for share, other in zip(shares[1:], others, strict=True):
            if at < other.size:
                out[at] += other.ravel()[at] * share
    return out.reshape(before.shape).astype(np.float32)


def test_shortcut_from_a_larger_layer_adds_its_memory(
    picture: Array, runtime: str
) -> None:
    layers = f"{FIRST}{SMALLER}[shortcut]\nfrom=0\nactivation=linear\n"
    whole = first(picture)
    weights = weights_file(BIAS, KERNEL, *SMALLER_PARTS)
    expected = shortcut_multilayer(smaller(whole), [whole], None, "none")
    expect(run(layers, weights, picture, runtime), expected)


def test_shortcut_from_a_smaller_layer_leaves_the_rest(
    picture: Array, runtime: str
) -> None:
    layers = f"{FIRST}{SMALLER}[route]\nlayers=0\n[shortcut]\nfrom=1\n"
    whole = first(picture)
    weights = weights_file(BIAS, KERNEL, *SMALLER_PARTS)
    expected = shortcut_multilayer(whole, [smaller(whole)], None, "none")
    expect(run(layers, weights, picture, runtime), expected)


@pytest.mark.parametrize("normalization", ["none", "relu", "softmax"])
@pytest.mark.parametrize("kind", ["per_feature", "per_channel"])
def test_weighted_shortcut_is_darknets(
    kind: str, normalization: str, picture: Array, runtime: str
) -> None:
    layers = f"{FIRST}[maxpool]\nsize=3\nstride=1\n[route]\nlayers=0\n"
    layers += f"[shortcut]\nfrom=-2,0\nweights_type={kind}\n"
    layers += f"weights_normalization={normalization}\n"
    shares = random_floats(3 * (6 if kind == "per_channel" else 1), seed=30)
    whole = first(picture)
    pooled = maxpool(whole, size=3, stride=1, padding=2)
    expected = shortcut_multilayer(whole, [pooled, whole], shares, normalization)
    weights = weights_file(BIAS, KERNEL, shares)
    expect(run(layers, weights, picture, runtime), expected)


def test_weighted_shortcut_of_another_size_is_darknets(
    picture: Array, runtime: str
) -> None:
    layers = f"{FIRST}{SMALLER}[shortcut]\nfrom=0\nweights_type=per_channel\n"
    shares = random_floats(12, seed=30)
    whole = first(picture)
    expected = shortcut_multilayer(smaller(whole), [whole], shares, "none")
    weights = weights_file(BIAS, KERNEL, *SMALLER_PARTS, shares)
    expect(run(layers, weights, picture, runtime), expected)


def test_squeeze_and_excitation_scales_each_channel(
    picture: Array, runtime: str
) -> None:
    """EfficientNet's block: the mean of each channel says how much of it is kept."""
    squeezed = random_floats(6, seed=23), random_floats(36, seed=24)
    layers = f"{FIRST}[avgpool]\n{conv_cfg(activation='logistic')}"
    layers += "[scale_channels]\nfrom=-3\nactivation=leaky\n"
    whole = first(picture)
    mean = whole.mean(axis=(1, 2), keepdims=True)
    gate = 1 / (
        1 + np.exp(-convolve(mean, squeezed[1].reshape(6, 6, 1, 1), squeezed[0]))
    )
    scaled = whole * gate
    expected = np.where(scaled > 0, scaled, 0.1 * scaled)
    weights = weights_file(BIAS, KERNEL, *squeezed)
    expect(run(layers, weights, picture, runtime), expected)


def test_scale_channels_by_cells(picture: Array, runtime: str) -> None:
    other = random_floats(1, seed=23), random_floats(6, seed=24)
    layers = f"{FIRST}{conv_cfg(1)}[scale_channels]\nfrom=0\nscale_wh=1\n"
    whole = first(picture)
    expected = whole * convolve(whole, other[1].reshape(1, 6, 1, 1), other[0])
    weights = weights_file(BIAS, KERNEL, *other)
    expect(run(layers, weights, picture, runtime), expected)


def test_spatial_attention_multiplies_value_by_value(
    picture: Array, runtime: str
) -> None:
    other = random_floats(6, seed=23), random_floats(36, seed=24)
    layers = f"{FIRST}{conv_cfg(activation='logistic')}[sam]\nfrom=-2\n"
    whole = first(picture)
    gate = 1 / (1 + np.exp(-convolve(whole, other[1].reshape(6, 6, 1, 1), other[0])))
    expected = (whole * gate).astype(np.float32)
    weights = weights_file(BIAS, KERNEL, *other)
    expect(run(layers, weights, picture, runtime), expected)


def test_upsample_repeats_and_scales(picture: Array, runtime: str) -> None:
    layers = FIRST + "[upsample]\nstride=2\nscale=0.5\n"
    expected = first(picture).repeat(2, axis=1).repeat(2, axis=2) * 0.5
    expect(run(layers, FIRST_WEIGHTS, picture, runtime), expected)


def test_reorg_keeps_darknets_odd_order(picture: Array, runtime: str) -> None:
    wide = random_floats(8, seed=5), random_floats(24, seed=6)
    last = random_floats(6, seed=8), random_floats(6 * 32, seed=9)
    layers = conv_cfg(8) + "[reorg]\nstride=2\n" + conv_cfg()
    inner = convolve(picture, wide[1].reshape(8, 3, 1, 1), wide[0])
    expected = convolve(reorg(inner, stride=2), last[1].reshape(6, 32, 1, 1), last[0])
    expect(run(layers, weights_file(*wide, *last), picture, runtime), expected)


def test_graph_passes_the_checker_of_onnx() -> None:
    graph = darknet_to_onnx(net_cfg(FIRST), FIRST_WEIGHTS, labels=["cat"])
    onnx.checker.check_model(onnx.load_model_from_string(graph), full_check=True)


def test_input_size_replaces_the_cfgs_own() -> None:
    graph = darknet_to_onnx(net_cfg(FIRST), FIRST_WEIGHTS, input_size=64)
    assert read_onnx(graph).inputs == {"images": (1, 3, 64, 64)}
