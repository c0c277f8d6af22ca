"""README.md of a training bundle: the one command to start with it."""

from typing import Final

from imagebase.formats.label_set_files import ExportSet

FILE: Final = "README.md"

_DARKNET: Final = """\
# Train with Darknet

In this folder:

    darknet detector train obj.data obj.cfg yolov4-tiny.conv.29 -map

`yolov4-tiny.conv.29` are first weights, released with AlexeyAB's Darknet; without them
training begins from nothing and takes longer. `obj.cfg` is YOLOv4-tiny for {classes}.
The weights come to lie in `backup/`. {judged}
{test}
`EXPORT_REPORT.md` says what is in this label set.
"""
_YOLO: Final = """\
# Train with Ultralytics

In this folder:

    yolo detect train data=data.yaml model=yolo11n.pt

`yolo11n.pt` are first weights, which Ultralytics fetches; any of its detection models
will do. `data.yaml` names {classes}. {judged}
{test}
`EXPORT_REPORT.md` says what is in this label set.
"""
_TESTS: Final[dict[str, str]] = {
    _DARKNET: (
        "Images for a last test are in `test.txt`: name it as `valid` in `obj.data`, "
        "and run\n`darknet detector map obj.data obj.cfg backup/obj_best.weights`.\n"
    ),
    _YOLO: (
        "For a last test: `yolo detect val data=data.yaml split=test "
        "model=runs/detect/train/weights/best.pt`.\n"
    ),
}


def darknet_readme(export_set: ExportSet) -> bytes:
    """Return how to start Darknet on this set."""
    return _text(_DARKNET, export_set)


def yolo_readme(export_set: ExportSet) -> bytes:
    """Return how to start Ultralytics on this set."""
    return _text(_YOLO, export_set)


def _text(template: str, export_set: ExportSet) -> bytes:
    parts = export_set.parts
    count = len(export_set.labels)
    judged = (
        "It is judged on images that it does not train on."
        if "val" in parts
        else "There is no split: it is judged on the images that it trains on."
    )
    return template.format(
        classes="1 class" if count == 1 else f"{count} classes",
        judged=judged,
        test=_TESTS[template] if "test" in parts else "",
    ).encode()
