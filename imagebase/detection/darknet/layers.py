"""The layers of a Darknet net as values: what the planner makes and the graph takes."""

from dataclasses import dataclass
from typing import NamedTuple

from imagebase.annotation import Size
from imagebase.detection.darknet.heads import Head


class LayerShape(NamedTuple):
    """Channels, rows and columns of one layer's output."""

    channels: int
    height: int
    width: int

    @property
    def floats(self) -> int:
        return self.channels * self.height * self.width


@dataclass(frozen=True, slots=True)
class Convolution:
    """shape and channels_in give the kernel: (channels, channels_in/groups, k, k)."""

    shape: LayerShape
    channels_in: int
    kernel: int
    stride: Size
    padding: int
    dilation: int
    groups: int
    batch_normalize: bool
    activation: str

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        inner = self.channels_in // self.groups
        return (self.shape.channels, inner, self.kernel, self.kernel)

    @property
    def weights(self) -> int:
        """How many floats it has in the .weights file."""
        filters, inner, *_ = self.kernel_shape
        per_filter = 4 if self.batch_normalize else 1
        return filters * (inner * self.kernel**2 + per_filter)


@dataclass(frozen=True, slots=True)
class Route:
    """Joins part `group_id` of `groups` of each source along the channels."""

    shape: LayerShape
    sources: tuple[int, ...]
    groups: int
    group_id: int


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Adds the sources to the layer before; of other sizes only the shared first.

    Shared values are counted in memory, channel by channel and row by row, as in
    AlexeyAB's shortcut_multilayer_cpu.

    weights: how many floats it has in the .weights file, 0 for a plain sum, else one
    for each of the layers that are added, or one for each of their channels too.
    normalization: of those weights: `none`, `relu` or `softmax`.
    """

    shape: LayerShape
    sources: tuple[int, ...]
    activation: str
    weights: int = 0
    normalization: str = "none"


@dataclass(frozen=True, slots=True)
class Averagepool:
    """The mean of each channel, which becomes one cell."""

    shape: LayerShape


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiplies the source by the layer before ([scale_channels] and [sam]).

    by_cell: whether that layer has one value for each cell; else it has one for each
    channel, or one for each of both.
    """

    shape: LayerShape
    source: int
    activation: str
    by_cell: bool = False


@dataclass(frozen=True, slots=True)
class Maxpool:
    """padding is the sum of both sides; the near side gets the smaller half."""

    shape: LayerShape
    kernel: int
    stride: Size
    padding: int


@dataclass(frozen=True, slots=True)
class Upsample:
    """Repeats each cell stride × stride times and multiplies by scale."""

    shape: LayerShape
    stride: int
    scale: float


@dataclass(frozen=True, slots=True)
class Reorg:
    """YOLOv2's pass-through: blocks of stride × stride cells become channels."""

    shape: LayerShape
    stride: int


@dataclass(frozen=True, slots=True)
class Dropout:
    """Does nothing at inference."""

    shape: LayerShape


@dataclass(frozen=True, slots=True)
class Output:
    """A head: its input is an output of the graph, unchanged."""

    shape: LayerShape
    head: Head


Layer = (
    Convolution
    | Route
    | Shortcut
    | Scale
    | Maxpool
    | Averagepool
    | Upsample
    | Reorg
    | Dropout
    | Output
)


def stored_weights(layer: Layer) -> int:
    """Return how many floats a layer has in the .weights file."""
    return layer.weights if isinstance(layer, Convolution | Shortcut) else 0


@dataclass(frozen=True, slots=True)
class Network:
    """A net with its layers in order; layer i reads layer i - 1 unless it says else.

    letter_box: whether images keep their proportions on a grey field, or are
    stretched.
    """

    size: Size
    layers: tuple[Layer, ...]
    letter_box: bool = False

    @property
    def heads(self) -> tuple[Head, ...]:
        return tuple(layer.head for layer in self.layers if isinstance(layer, Output))

    @property
    def weights(self) -> int:
        """How many floats its .weights file holds after the header."""
        return sum(map(stored_weights, self.layers))

    @property
    def memory_bytes(self) -> int:
        """What running it takes at most: weights three times, each output once.

        They are in the file, in the graph and in the runtime's own order.
        """
        outputs = sum(layer.shape.floats for layer in self.layers)
        return 4 * (3 * self.weights + outputs)
