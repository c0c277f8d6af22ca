"""A dry run of a model on a photograph, in a process of its own with a memory limit.

A stranger's file that makes a runtime crash, or fill the memory, ends that process and
not the server. Run as a module it is that process.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from imagebase.annotation import Annotation, LabelSet, Size
from imagebase.detection.candidates import Candidates, pack, select, unpack
from imagebase.detection.model_files import Model, model_in_folder
from imagebase.detection.selection_rule import as_annotations
from imagebase.detection.validation.file_kinds import ModelFinding, good, warning
from imagebase.errors import ImageBaseError, MisreadModelError, ModelLoadError
from imagebase.images.decode import encode_jpeg, encode_png, load_image, resized
from imagebase.images.draw import draw_annotations
from imagebase.images.thumbnails import inner_size
from imagebase.settings import (
    DEFAULT_CONFIDENCE,
    DEFAULT_NMS_IOU,
    PROJECT_ROOT,
    SAMPLES_FOLDER,
    Limits,
)

SAMPLE: Final = SAMPLES_FOLDER / "kitchen.jpg"
TIMEOUT_SECONDS: Final = 120
DRAWN_SUFFIXES: Final = (".jpg", ".jpeg", ".png")
# Signs that outputs are read the wrong way: boxes that are the image, dots, or a flood.
_WHOLE: Final = 0.98
_DOT_PX: Final = 2
_FLOOD: Final = 300
_RUNS: Final = 5
# What it is called in sentences; its folder has a name of no meaning.
_NAME: Final = "The model"
# Address space that libraries and thread stacks reserve and never fill.
_OVERHEAD_BYTES: Final = 3_000_000_000


@dataclass(frozen=True, slots=True)
class DryRun:
    """The result of a dry run, and how long it took.

    milliseconds: the median from pixels to candidates. size: of the photograph.
    precision, runtime: what `auto` came to.
    """

    candidates: Candidates
    size: Size
    milliseconds: float
    input_size: Size
    runtime: str
    precision: str


def dry_run(
    model: Model, *, image: Path = SAMPLE, limits: Limits | None = None
) -> DryRun:
    """Run a model on a photograph in a process of its own.

    Raises:
        MisreadModelError: its numbers are those of another family.
        ModelLoadError: it cannot be loaded, crashes, or needs more memory or time than
            is allowed.
    """
    allowed = (limits or Limits()).max_model_memory_bytes
    command = [sys.executable, "-m", __name__, str(model.folder), str(image)]
    command += ["--memory", str(allowed), "--family", model.family or ""]
    try:
        finished = subprocess.run(
            command,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelLoadError(
            f"The model took more than {TIMEOUT_SECONDS} s for one photograph; it is "
            "too slow to be used here."
        ) from error
    return _as_dry_run(_last_line(finished.stdout), allowed)


def _as_dry_run(answer: dict[str, Any] | None, allowed: int) -> DryRun:
    if answer is None:
        raise ModelLoadError(
            "The model could not be run: it crashed, or needed more than the "
            f"{allowed / 1e9:.1f} GB of memory allowed here."
        )
    if "family" in answer:
        raise MisreadModelError(answer["error"], family=answer["family"])
    if "error" in answer:
        raise ModelLoadError(answer["error"])
    return DryRun(
        unpack(bytes.fromhex(answer["candidates"])),
        Size(*answer["size"]),
        answer["milliseconds"],
        Size(*answer["input_size"]),
        answer["runtime"],
        answer["precision"],
    )


def _last_line(printed: str) -> dict[str, Any] | None:
    """Return the last line as JSON; the runtime may have printed other lines before."""
    for line in reversed(printed.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        return answer if isinstance(answer, dict) else None
    return None


def run_here(model: Model, image: Path) -> DryRun:
    """Run a model on a photograph in this process.

    Raises:
        ModelLoadError, ImageReadError: the model or the photograph cannot be used.
    """
    from imagebase.detection.detector import load_single

    detector = load_single(model)
    loaded = load_image(
        image.read_bytes(), file_name=image.name, max_pixels=Limits().max_image_pixels
    )
    seconds = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        found = detector.candidates(loaded.rgb, size=loaded.size)
        seconds.append(time.perf_counter() - started)
    return DryRun(
        found,
        loaded.size,
        1_000 * median(seconds),
        detector.input_size,
        detector.runtime,
        detector.precision,
    )


def boxes_of(tried: DryRun, labels: Sequence[str]) -> list[Annotation]:
    """Return what a dry run found under the usual thresholds, best first."""
    found = select(
        tried.candidates,
        confidence_threshold=DEFAULT_CONFIDENCE,
        nms_threshold=DEFAULT_NMS_IOU,
    )
    return as_annotations(found, model_labels=labels, model_id="trial")


def finding_of(
    tried: DryRun, boxes: Sequence[Annotation], *, image: str
) -> ModelFinding:
    """Return the finding of a dry run's boxes: good, or a warning if they are odd.

    Args:
        tried: the run. boxes: from `boxes_of`.
        image: what the photograph is called.
    """
    count = f"{len(boxes)} box{'es' if len(boxes) != 1 else ''} in {image}"
    oddity = _oddity(boxes, tried.size)
    if oddity:
        return warning(f"{count}: {oddity}")
    return good(
        f"{count}, {tried.milliseconds:.0f} ms an image ({tried.runtime}, "
        f"{tried.precision})."
    )


def _oddity(boxes: Sequence[Annotation], size: Size) -> str:
    """Return why the boxes of a dry run are odd; empty if they are not."""
    misread = "its outputs may be decoded wrongly. Try another family."
    sides = [(box.box.width, box.box.height) for box in boxes]
    if not boxes:
        return (
            "the image has none of its labels, or its outputs are decoded wrongly. "
            "Try it on an image with an object that it was trained for."
        )
    if all(w >= _WHOLE * size.width and h >= _WHOLE * size.height for w, h in sides):
        return f"each is the whole image, so {misread}"
    if all(min(side) < _DOT_PX for side in sides):
        return f"each is smaller than {_DOT_PX} pixels, so {misread}"
    if len(boxes) > _FLOOD:
        return f"there are so many that {misread}"
    return ""


def draw_dry_run(
    boxes: Sequence[Annotation],
    image: Path,
    *,
    labels: Sequence[str],
    longest_side: int = 1_600,
    as_png: bool = False,
) -> bytes:
    """Return the image as a JPEG or a PNG with these boxes on it.

    longest_side: in pixels; labels are written at the size they are read at.

    Raises:
        ImageReadError, LimitError: the image cannot be read.
    """
    loaded = load_image(
        image.read_bytes(), file_name=image.name, max_pixels=Limits().max_image_pixels
    )
    shown = inner_size(loaded.size, Size(longest_side, longest_side))
    drawn = draw_annotations(
        resized(loaded.rgb, shown),
        boxes,
        labels=LabelSet.of(labels),
        from_size=loaded.size,
    )
    return encode_png(drawn) if as_png else encode_jpeg(drawn, quality=90)


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--family", default="")
    arguments = parser.parse_args()
    _limit_memory(arguments.memory + _OVERHEAD_BYTES)
    print(json.dumps(_tried(arguments)))  # noqa: T201 the parent reads it


def _tried(arguments: argparse.Namespace) -> dict[str, Any]:
    try:
        model = model_in_folder(arguments.folder)
        tried = run_here(
            replace(model, name=_NAME, family=arguments.family or None), arguments.image
        )
    except MisreadModelError as error:
        return {"error": error.what, "family": error.family}
    except ImageBaseError as error:
        return {"error": str(error)}
    except MemoryError:
        return {
            "error": f"The model needs more than the {arguments.memory / 1e9:.1f} GB "
            "of memory allowed here."
        }
    return {
        "candidates": pack(tried.candidates).hex(),
        "size": tried.size,
        "milliseconds": tried.milliseconds,
        "input_size": tried.input_size,
        "runtime": tried.runtime,
        "precision": tried.precision,
    }


def _limit_memory(byte_count: int) -> None:
    """Limit this process's address space; Windows has no such limit."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (byte_count, byte_count))


if __name__ == "__main__":
    _main()
