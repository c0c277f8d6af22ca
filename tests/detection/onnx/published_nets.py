"""The full nets as their papers and authors describe them, written out by rule.

YOLOv2: Redmon and Farhadi, 2016, darknet-19 with a pass-through. YOLOv3: the same two,
2018, darknet-53 and three heads. YOLOv4: Bochkovskiy, Wang and Liao, 2020,
CSPDarknet-53 with SPP and PAN. How many weights each has is known from the file that
its authors published.
"""

from collections.abc import Sequence

# (bytes of the authors' file - header) / 4; the oldest has the shorter header.
PUBLISHED_WEIGHTS = {
    "yolov2": (203_934_260 - 16) // 4,
    "yolov3": (248_007_048 - 20) // 4,
    "yolov3-tiny": (35_434_956 - 20) // 4,
    "yolov4": (257_717_640 - 20) // 4,
}
_V3_ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
_V4_ANCHORS = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"


class Cfg:
    """Collects sections; `here` is the number of the next layer."""

    def __init__(self, side: int) -> None:
        self._parts = [f"[net]\nwidth={side}\nheight={side}\nchannels=3\n"]
        self.here = 0

    def add(self, kind: str, **options: object) -> int:
        lines = "".join(f"{name}={value}\n" for name, value in options.items())
        self._parts.append(f"[{kind}]\n{lines}")
        self.here += 1
        return self.here - 1

    def conv(
        self, filters: int, size: int, *, stride: int = 1, activation: str = "leaky"
    ) -> int:
        return self.add(
            "convolutional",
            batch_normalize=1,
            filters=filters,
            size=size,
            stride=stride,
            pad=1,
            activation=activation,
        )

    def linear(self, filters: int) -> int:
        return self.add(
            "convolutional",
            filters=filters,
            size=1,
            stride=1,
            pad=1,
            activation="linear",
        )

    def pool(self, size: int, stride: int) -> int:
        return self.add("maxpool", size=size, stride=stride)

    def route(self, *layers: int) -> int:
        return self.add("route", layers=",".join(map(str, layers)))

    def shortcut(self) -> int:
        return self.add("shortcut", **{"from": -3}, activation="linear")

    def yolo(self, mask: Sequence[int], anchors: str, scale: float = 1.0) -> int:
        return self.add(
            "yolo",
            mask=",".join(map(str, mask)),
            anchors=anchors,
            classes=80,
            num=anchors.count(",") // 2 + 1,
            scale_x_y=scale,
        )

    def text(self) -> bytes:
        return "\n".join(self._parts).encode()


def yolov2(side: int) -> bytes:
    net = Cfg(side)
    net.conv(32, 3)
    net.pool(2, 2)
    net.conv(64, 3)
    for filters in (128, 256):
        net.pool(2, 2)
        for wide, size in ((filters, 3), (filters // 2, 1), (filters, 3)):
            net.conv(wide, size)
    passed = 0
    for filters in (512, 1024):
        net.pool(2, 2)
        for wide, size in ((filters, 3), (filters // 2, 1)) * 2:
            net.conv(wide, size)
        last = net.conv(filters, 3)
        passed = passed or last
    net.conv(1024, 3)
    net.conv(1024, 3)
    net.route(passed)
    net.conv(64, 1)
    net.add("reorg", stride=2)
    net.route(-1, -4)
    net.conv(1024, 3)
    net.linear(5 * 85)
    net.add(
        "region",
        anchors="0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, "
        "3.52778, 9.77052, 9.16828",
        classes=80,
        coords=4,
        num=5,
        softmax=1,
    )
    return net.text()


def yolov3_tiny(side: int) -> bytes:
    net = Cfg(side)
    for filters in (16, 32, 64, 128):
        net.conv(filters, 3)
        net.pool(2, 2)
    middle = net.conv(256, 3)
    net.pool(2, 2)
    net.conv(512, 3)
    net.pool(2, 1)
    net.conv(1024, 3)
    neck = net.conv(256, 1)
    net.conv(512, 3)
    net.linear(255)
    anchors = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"
    net.yolo((3, 4, 5), anchors)
    net.route(neck)
    net.conv(128, 1)
    net.add("upsample", stride=2)
    net.route(-1, middle)
    net.conv(256, 3)
    net.linear(255)
    net.yolo((0, 1, 2), anchors)
    return net.text()


def yolov3(side: int) -> bytes:
    net = Cfg(side)
    net.conv(32, 3)
    stages = []
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        net.conv(filters, 3, stride=2)
        for _ in range(repeats):
            net.conv(filters // 2, 1)
            net.conv(filters, 3)
            net.shortcut()
        stages.append(net.here - 1)
    for place, filters in enumerate((512, 256, 128)):
        for wide, size in ((filters, 1), (2 * filters, 3)) * 2:
            net.conv(wide, size)
        neck = net.conv(filters, 1)
        net.conv(2 * filters, 3)
        net.linear(255)
        first = 6 - 3 * place
        net.yolo(range(first, first + 3), _V3_ANCHORS)
        if place < 2:
            net.route(neck)
            net.conv(filters // 2, 1)
            net.add("upsample", stride=2)
            net.route(-1, stages[3 - place])
    return net.text()


def _csp_stage(net: Cfg, filters: int, repeats: int) -> int:
    """Add a stage of CSPDarknet-53; the first one does not halve its branches."""
    half = filters if repeats == 1 else filters // 2
    net.conv(filters, 3, stride=2, activation="mish")
    net.conv(half, 1, activation="mish")
    net.route(-2)
    net.conv(half, 1, activation="mish")
    for _ in range(repeats):
        net.conv(filters // 2 if repeats == 1 else half, 1, activation="mish")
        net.conv(half, 3, activation="mish")
        net.shortcut()
    net.conv(half, 1, activation="mish")
    net.route(-1, -(3 * repeats + 4))
    return net.conv(filters, 1, activation="mish")


def _five(net: Cfg, filters: int) -> int:
    for wide, size in ((filters, 1), (2 * filters, 3)) * 2:
        net.conv(wide, size)
    return net.conv(filters, 1)


def yolov4(side: int) -> bytes:
    net = Cfg(side)
    net.conv(32, 3, activation="mish")
    plan = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
    stages = [_csp_stage(net, filters, repeats) for filters, repeats in plan]
    for filters, size in ((512, 1), (1024, 3), (512, 1)):
        net.conv(filters, size)
    net.pool(5, 1)
    net.route(-2)
    net.pool(9, 1)
    net.route(-4)
    net.pool(13, 1)
    net.route(-1, -3, -5, -6)
    for filters, size in ((512, 1), (1024, 3)):
        net.conv(filters, size)
    necks = [net.conv(512, 1)]
    for filters, stage in ((256, stages[3]), (128, stages[2])):
        net.conv(filters, 1)
        net.add("upsample", stride=2)
        net.route(stage)
        net.conv(filters, 1)
        net.route(-1, -3)
        necks.append(_five(net, filters))
    net.conv(256, 3)
    net.linear(255)
    net.yolo((0, 1, 2), _V4_ANCHORS, 1.2)
    for filters, neck, mask, scale in (
        (256, necks[1], (3, 4, 5), 1.1),
        (512, necks[0], (6, 7, 8), 1.05),
    ):
        net.route(-4)
        net.conv(filters, 3, stride=2)
        net.route(-1, neck)
        _five(net, filters)
        net.conv(2 * filters, 3)
        net.linear(255)
        net.yolo(mask, _V4_ANCHORS, scale)
    return net.text()


PUBLISHED_NETS = {
    "yolov2": yolov2,
    "yolov3": yolov3,
    "yolov3-tiny": yolov3_tiny,
    "yolov4": yolov4,
}
