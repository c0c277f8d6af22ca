"""Cfg sections into layers with known shapes; unsupported ones are errors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import Section
from imagebase.detection.darknet.heads import Head, HeadKind
from imagebase.detection.darknet.layers import (
    Averagepool,
    Convolution,
    Dropout,
    Layer,
    LayerShape,
    Maxpool,
    Network,
    Output,
    Reorg,
    Route,
    Scale,
    Shortcut,
    Upsample,
    stored_weights,
)

MAX_NET_SIDE: Final = 4_096
MAX_CHANNELS: Final = 16_384
MAX_KERNEL: Final = 255
MAX_CLASSES: Final = 10_000
MAX_WEIGHTS: Final = 200_000_000
MAX_TENSOR_FLOATS: Final = 150_000_000
MAX_TOTAL_FLOATS: Final = 3_000_000_000

ACTIVATIONS: Final = (
    *("linear", "leaky", "mish", "relu", "relu6", "swish", "logistic"),
    *("hard_mish", "tanh"),
)
_SHORTCUT_WEIGHTS: Final = ("none", "per_feature", "per_layer", "per_channel")
_NORMALIZATIONS: Final = {"avg_relu": "relu"}

_HEAD_KINDS: Final[Mapping[str, HeadKind]] = {
    "region": "region",
    "yolo": "yolo",
    "gaussian_yolo": "gaussian",
}

# These change what a layer computes; everything else we do not read is for training.
_UNSUPPORTED: Final = {
    "convolutional": ("binary", "xnor", "share_index", "antialiasing", "flipped"),
    "maxpool": ("maxpool_depth", "antialiasing"),
    "gaussian_yolo": ("new_coords",),
    "reorg": ("reverse",),
    "region": ("background", "tree", "map"),
}


class _Before(NamedTuple):
    """What a section may refer to: the shape it reads, and all layers so far."""

    shape: LayerShape
    layers: Sequence[Layer]


def plan_network(sections: Sequence[Section], *, input_size: int | None) -> Network:
    """Return the layers of a parsed cfg with every shape worked out, nothing allocated.

    Args:
        sections: from `parse_cfg`.
        input_size: side of a square net that replaces the cfg's width and height.

    Raises:
        ModelLoadError: a layer or option that is not supported, or a size beyond the
            limits, with its line.
    """
    shape = _net_shape(sections[0], input_size)
    size = Size(shape.width, shape.height)
    layers: list[Layer] = []
    weights = floats = 0
    for section in sections[1:]:
        layer = _layer(section, _Before(shape, layers))
        layers.append(layer)
        shape = layer.shape
        floats += shape.floats
        weights += stored_weights(layer)
        _check_limits(section, shape, weights=weights, floats=floats)
    letter_box = sections[0].integer("letter_box", 0) != 0
    network = Network(size, tuple(layers), letter_box)
    if not network.heads:
        raise sections[0].error(
            "this net has no [yolo] or [region] layer to detect by, nor [Gaussian_yolo]"
        )
    return network


def _net_shape(net: Section, input_size: int | None) -> LayerShape:
    channels = net.integer("channels", 3)
    if channels != 3:
        raise net.error(f"channels={channels}, only 3 (RGB) is supported", "channels")
    width = input_size or net.integer("width", least=1)
    height = input_size or net.integer("height", least=1)
    if max(width, height) > MAX_NET_SIDE:
        raise net.error(f"a net of {width}×{height} is above {MAX_NET_SIDE}", "width")
    return LayerShape(channels, height, width)


def _layer(section: Section, before: _Before) -> Layer:
    kind = "convolutional" if section.kind == "conv" else section.kind
    plan = LAYERS.get(kind)
    if plan is None:
        known = ", ".join(LAYERS)
        raise section.error(f"[{section.kind}] is not supported; supported: {known}")
    for name in _UNSUPPORTED.get(kind, ()):
        if section.text(name, "0") not in {"0", "none"}:
            raise section.error(f"{name}= in [{kind}] is not supported", name)
    return plan(section, before)


def _check_limits(
    section: Section, shape: LayerShape, *, weights: int, floats: int
) -> None:
    for what, value, limit in (
        ("channels", shape.channels, MAX_CHANNELS),
        ("values in this layer", shape.floats, MAX_TENSOR_FLOATS),
        ("values in all layers", floats, MAX_TOTAL_FLOATS),
        ("weights", weights, MAX_WEIGHTS),
    ):
        if value > limit:
            raise section.error(f"{value} {what}, at most {limit} are taken")
    if min(shape) < 1:
        raise section.error(f"nothing is left of the image here: {tuple(shape)}")


def _activation(section: Section, default: str) -> str:
    activation = section.text("activation", default)
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise section.error(
            f"activation={activation[:40]} is not supported; supported: {known}",
            "activation",
        )
    return activation


def _kernel(section: Section) -> int:
    kernel = section.integer("size", 1, least=1)
    if kernel > MAX_KERNEL:
        raise section.error(f"size={kernel} is above {MAX_KERNEL}", "size")
    return kernel


def _stride(section: Section, default: int) -> Size:
    common = section.integer("stride", default, least=1)
    return Size(
        section.integer("stride_x", common, least=1),
        section.integer("stride_y", common, least=1),
    )


def _convolution(section: Section, before: _Before) -> Convolution:
    shape, kernel, stride = before.shape, _kernel(section), _stride(section, 1)
    filters = section.integer("filters", 1, least=1)
    groups = section.integer("groups", 1, least=1)
    if shape.channels % groups or filters % groups:
        raise section.error(
            f"groups={groups} does not divide {shape.channels} channels into "
            f"{filters} filters",
            "groups",
        )
    dilation = section.integer("dilation", 1, least=1)
    padding = section.integer("padding", 0)
    if section.integer("pad", 0):
        padding = kernel // 2
    reach = dilation * (kernel - 1) + 1
    padding = padding * dilation
    if padding > MAX_KERNEL:
        raise section.error(f"a padding of {padding} is above {MAX_KERNEL}", "padding")
    return Convolution(
        LayerShape(
            filters,
            (shape.height + 2 * padding - reach) // stride.height + 1,
            (shape.width + 2 * padding - reach) // stride.width + 1,
        ),
        channels_in=shape.channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        batch_normalize=section.integer("batch_normalize", 0) != 0,
        activation=_activation(section, "logistic"),
    )


def _maxpool(section: Section, before: _Before) -> Maxpool:
    shape, stride = before.shape, _stride(section, 1)
    kernel = section.integer("size", stride.width, least=1)
    padding = section.integer("padding", kernel - 1)
    if kernel > MAX_KERNEL or padding > 2 * (kernel - 1):
        raise section.error(f"size={kernel} with padding={padding} is not possible")
    return Maxpool(
        LayerShape(
            shape.channels,
            (shape.height + padding - kernel) // stride.height + 1,
            (shape.width + padding - kernel) // stride.width + 1,
        ),
        kernel,
        stride,
        padding,
    )


def _sources(section: Section, option: str, before: _Before) -> tuple[int, ...]:
    """Return the layers an option names; a negative number counts from this one."""
    here = len(before.layers)
    given = section.integers(option)
    sources = tuple(here + index if index < 0 else index for index in given)
    if not sources:
        raise section.error(f"[{section.kind}] needs {option}=")
    for name, source in zip(given, sources, strict=True):
        if not 0 <= source < here:
            raise section.error(f"{option}={name}: there is no such layer", option)
    return sources


def _route(section: Section, before: _Before) -> Route:
    sources = _sources(section, "layers", before)
    groups = section.integer("groups", 1, least=1)
    group_id = section.integer("group_id", 0)
    shapes = [before.layers[source].shape for source in sources]
    if len({(shape.height, shape.width) for shape in shapes}) > 1:
        sizes = ", ".join(f"{shape.width}×{shape.height}" for shape in shapes)
        raise section.error(f"[route] joins layers of different sizes: {sizes}")
    if group_id >= groups or any(shape.channels % groups for shape in shapes):
        raise section.error(f"there is no part {group_id} of {groups}", "groups")
    channels = sum(shape.channels // groups for shape in shapes)
    return Route(shapes[0]._replace(channels=channels), sources, groups, group_id)


def _shortcut(section: Section, before: _Before) -> Shortcut:
    sources = _sources(section, "from", before)
    normalization = section.text("weights_normalization", "none")
    normalization = _NORMALIZATIONS.get(normalization, normalization)
    kinds = section.text("weights_type", "none")
    if kinds not in _SHORTCUT_WEIGHTS:
        raise section.error(
            f"weights_type={kinds[:40]} is not supported", "weights_type"
        )
    if normalization not in {"none", "relu", "softmax"}:
        raise section.error(
            f"weights_normalization={normalization[:40]} is not supported",
            "weights_normalization",
        )
    each = {"none": 0, "per_channel": before.shape.channels}.get(kinds, 1)
    return Shortcut(
        before.shape,
        sources,
        _activation(section, "linear"),
        weights=each * (len(sources) + 1),
        normalization=normalization,
    )


def _averagepool(section: Section, before: _Before) -> Averagepool:
    return Averagepool(LayerShape(before.shape.channels, 1, 1))


def _one_source(section: Section, before: _Before) -> int:
    sources = _sources(section, "from", before)
    if len(sources) != 1:
        raise section.error("from= names one layer here", "from")
    return sources[0]


def _scale_channels(section: Section, before: _Before) -> Scale:
    """One value for each channel, or with scale_wh for each cell."""
    source = _one_source(section, before)
    shape, other = before.shape, before.layers[source].shape
    by_cell = section.integer("scale_wh", 0) != 0
    wanted = other._replace(channels=1) if by_cell else LayerShape(other.channels, 1, 1)
    if shape != wanted:
        raise section.error(
            f"[scale_channels] scales {_in_words(other)} by {_in_words(shape)}", "from"
        )
    return Scale(other, source, _activation(section, "linear"), by_cell)


def _sam(section: Section, before: _Before) -> Scale:
    source = _one_source(section, before)
    other = before.layers[source].shape
    if other != before.shape:
        raise section.error(
            f"[sam] multiplies {_in_words(other)} by {_in_words(before.shape)}", "from"
        )
    return Scale(other, source, _activation(section, "linear"))


def _in_words(shape: LayerShape) -> str:
    return f"{shape.width}×{shape.height}×{shape.channels}"


def _upsample(section: Section, before: _Before) -> Upsample:
    stride = section.integer("stride", 2, least=1)
    channels, height, width = before.shape
    shape = LayerShape(channels, height * stride, width * stride)
    return Upsample(shape, stride, section.number("scale", 1.0))


def _reorg(section: Section, before: _Before) -> Reorg:
    stride = section.integer("stride", 1, least=1)
    channels, height, width = before.shape
    if channels % stride**2 or height % stride or width % stride:
        raise section.error(
            f"[reorg] with stride={stride} does not fit {width}×{height}×{channels}",
            "stride",
        )
    shape = LayerShape(channels * stride**2, height // stride, width // stride)
    return Reorg(shape, stride)


def _dropout(section: Section, before: _Before) -> Dropout:
    return Dropout(before.shape)


def _head(section: Section, before: _Before) -> Output:
    classes = section.integer("classes", 20, least=1)
    if classes > MAX_CLASSES:
        raise section.error(f"classes={classes} is above {MAX_CLASSES}", "classes")
    count = section.integer("num", 1, least=1)
    flat = section.numbers("anchors")
    if len(flat) < 2 * count or min(flat) <= 0:
        raise section.error(f"anchors= needs {count} pairs above 0", "anchors")
    anchors = tuple(zip(flat[::2], flat[1::2], strict=False))[:count]
    point = section.text("yolo_point", "center")
    if point != "center":
        raise section.error(f"yolo_point={point[:40]} is not supported", "yolo_point")
    head = Head(
        name=f"head_{len(before.layers)}",
        kind=_HEAD_KINDS[section.kind],
        classes=classes,
        anchors=anchors,
        mask=section.integers("mask") or tuple(range(count)),
        scale_x_y=section.number("scale_x_y", 1.0),
        new_coords=section.integer("new_coords", 0) != 0,
    )
    _check_head(section, head, before.shape)
    return Output(before.shape, head)


def _check_head(section: Section, head: Head, shape: LayerShape) -> None:
    if any(not 0 <= index < len(head.anchors) for index in head.mask):
        raise section.error(f"mask= names no anchor of {len(head.anchors)}", "mask")
    if shape.channels != head.channels:
        raise section.error(
            f"{len(head.mask)} anchors and {head.classes} classes need filters="
            f"{head.channels} in the layer before, which has {shape.channels}"
        )
    if head.kind == "region" and (
        section.integer("softmax", 0) != 1 or section.integer("coords", 4) != 4
    ):
        raise section.error("[region] is supported with softmax=1 and coords=4 only")


LAYERS: Final[dict[str, Callable[[Section, _Before], Layer]]] = {
    "convolutional": _convolution,
    "route": _route,
    "shortcut": _shortcut,
    "maxpool": _maxpool,
    "avgpool": _averagepool,
    "scale_channels": _scale_channels,
    "sam": _sam,
    "dropout": _dropout,
    "upsample": _upsample,
    "reorg": _reorg,
    "region": _head,
    "yolo": _head,
    "gaussian_yolo": _head,
}
