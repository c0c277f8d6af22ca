"""The `annotate` command: images in, label files out."""

from enum import StrEnum
from typing import Annotated

import typer

from imagebase.cli.console import (
    FAILED,
    Quiet,
    Verbose,
    progress_bar,
    refuse,
    reported_errors,
    say,
    show,
    writable_place,
)
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_MODEL, DEFAULT_NMS_IOU


class RuntimeOption(StrEnum):
    AUTO = "auto"
    OPENVINO = "openvino"
    OPENCV = "opencv"


class Engine(StrEnum):
    LOCAL = "local"
    RAY = "ray"


class DetectionMode(StrEnum):
    FAST = "fast"
    ACCURATE = "accurate"


class Precision(StrEnum):
    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"


_Source = Annotated[
    str, typer.Argument(help="A folder (with subfolders), a zip, one image, or a URL.")
]
_Output = Annotated[
    str,
    typer.Option(
        "--output",
        callback=writable_place,
        metavar="FOLDER",
        help="The folder to write to, or a URL such as s3://bucket/labels.",
    ),
]
_Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="A model's name, folder, .onnx file or taught .npz file; several "
        "separated by commas form an ensemble. examples:FOLDER teaches one by the "
        "images and label files in a folder.",
    ),
]
_Confidence = Annotated[
    float,
    typer.Option(
        "--confidence",
        min=0.001,
        max=1.0,
        help="Keep boxes with at least this confidence.",
    ),
]
_Nms = Annotated[
    float,
    typer.Option(
        "--nms",
        min=0.0,
        max=1.0,
        help="Of two boxes of one label that overlap by more than this IoU, keep the "
        "more confident.",
    ),
]
_Labels = Annotated[
    str, typer.Option("--labels", help="Keep only these labels, separated by commas.")
]
_Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="A format to write; may be given more than once. Default: coco.",
    ),
]
_Runtime = Annotated[
    RuntimeOption, typer.Option("--runtime", help="Inference runtime.")
]
_Precision = Annotated[
    Precision, typer.Option("--precision", help="Numeric precision of inference.")
]
_Quality = Annotated[
    DetectionMode,
    typer.Option(
        "--quality",
        help="fast: one pass over each image; accurate: test-time augmentation (whole, "
        "mirrored and in four tiles), about six times the work.",
    ),
]
_Engine = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="local: on this machine; ray: on the machines of a Ray cluster.",
    ),
]
_RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="The cluster that --engine ray runs on, such as auto or 10.0.0.1:6379. "
        "Default: Ray is started on this machine.",
    ),
]
_InputSize = Annotated[
    int | None,
    typer.Option(
        "--input-size",
        min=32,
        max=2048,
        help="Side of the network's input, a multiple of 32. Default: the model's own.",
    ),
]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Resume an interrupted run with the same model in the output folder, or "
        "start over.",
    ),
]


def annotate(
    source: _Source,
    output: _Output,
    model: _Model = DEFAULT_MODEL,
    confidence: _Confidence = DEFAULT_CONFIDENCE,
    nms: _Nms = DEFAULT_NMS_IOU,
    labels: _Labels = "",
    formats: _Formats = None,
    runtime: _Runtime = RuntimeOption.AUTO,
    precision: _Precision = Precision.AUTO,
    quality: _Quality = DetectionMode.FAST,
    engine: _Engine = Engine.LOCAL,
    ray_address: _RayAddress = None,
    input_size: _InputSize = None,
    resume: _Resume = True,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Annotate images and write label files, without the app.

    Exit code 0: done, refused files are listed on standard error; 1: nothing could be
    done; 2: wrong usage.
    """
    from imagebase.batch.run import annotate as run
    from imagebase.detection.detection_model import load_model
    from imagebase.images.locations import is_url, shown_url

    if ray_address is not None and engine is Engine.LOCAL:
        refuse("--ray-address goes with --engine ray; add that, or leave it out.")
    _refuse_contradictions(runtime, precision, input_size)
    with reported_errors(), progress_bar(quiet=quiet) as on_progress:
        loaded = load_model(
            model,
            quality=quality.value,
            runtime=runtime.value,
            precision=precision.value,
            input_size=input_size,
        )
        summary = run(
            source,
            output,
            model=loaded,
            formats=formats or ["coco"],
            confidence=confidence,
            nms=nms,
            labels=[name.strip() for name in labels.split(",") if name.strip()],
            resume=resume,
            engine=engine.value,
            ray_address=ray_address,
            on_progress=lambda done, total: on_progress("Annotating", done, total),
        )
    for remark in summary.remarks:
        say(remark)
    for refusal in summary.refused:
        is_named = refusal.file in refusal.reason
        say(f"Refused: {'' if is_named else f'{refusal.file}: '}{refusal.reason}")
    show(summary.in_words())
    if not summary.images:
        shown = shown_url(source) if is_url(source) else source
        say(f"No image of {shown} could be annotated.")
        raise typer.Exit(FAILED)


def _refuse_contradictions(
    runtime: RuntimeOption, precision: Precision, input_size: int | None
) -> None:
    if runtime is RuntimeOption.OPENCV and precision is Precision.BF16:
        refuse("The runtime opencv computes in f32 only; leave --precision out.")
    if input_size and input_size % 32:
        near = max(32, round(input_size / 32) * 32)
        refuse(f"--input-size {input_size} is no multiple of 32; try {near}.")
