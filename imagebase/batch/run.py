"""Annotate the images of a folder, zip or URL without a database."""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.batch.output import (
    AnnotatedImages,
    RunSummary,
    write_label_files,
    write_run_file,
)
from imagebase.batch.parts import Parts, parts_in
from imagebase.batch.resume import (
    FileHead,
    Journal,
    JournalKey,
    Refusal,
    Seen,
    SeenImage,
    open_journal,
)
from imagebase.batch.upload import Upload
from imagebase.detection.detection_model import DetectionModel, floor_of, load_model
from imagebase.detection.detector import ONE_PASS, Detector
from imagebase.detection.pipeline import ImageSource, detect_many, loader_for
from imagebase.detection.runtime import STREAMS
from imagebase.detection.selection_rule import SelectionRule
from imagebase.errors import ExportError, ImageBaseError
from imagebase.formats.manifest import check_unchanged
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import DRAFT_PREFIX
from imagebase.images.decode import ImageHeader
from imagebase.images.locations import is_url, open_location
from imagebase.images.scan import SourceFile, scan_source
from imagebase.images.skipped_files import SkippedFiles
from imagebase.settings import (
    DEFAULT_CONFIDENCE,
    DEFAULT_MODEL,
    DEFAULT_NMS_IOU,
    Limits,
    Mode,
)
from imagebase.settings import settings as process_settings

if TYPE_CHECKING:
    from imagebase.batch.ray_engine import RayRun

OnProgress = Callable[[int, int], None]
LOCAL: Final = "local"
RAY: Final = "ray"

_log: Final = logging.getLogger(__name__)


def annotate(
    source: str | PathLike[str],
    output: str | PathLike[str],
    *,
    model: str | PathLike[str] | DetectionModel = DEFAULT_MODEL,
    formats: Sequence[str] = ("coco",),
    confidence: float = DEFAULT_CONFIDENCE,
    nms: float = DEFAULT_NMS_IOU,
    labels: Sequence[str] | None = None,
    resume: bool = True,
    engine: str = LOCAL,
    ray_address: str | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> RunSummary:
    """Run a model on images and write label files and `run.json`.

    Where no image could be annotated only `run.json` is written: label files of an
    earlier run stay. An interrupted run leaves a journal in the output; the next run
    with the same model and network settings resumes from it.

    Args:
        source: a folder (with subfolders), a zip, one image, or an fsspec URL.
        output: a folder, or an fsspec URL of one; each format is written into a folder
            of its own in it. What goes to a URL is written and verified on this
            machine first, in IMAGEBASE_HOME, which holds the journal too; a run there
            is whole once its `run.json` is there.
        model: from `load_model`, or what it takes: a name, a folder, an .onnx file.
        formats: such as `coco`, `yolo`, `voc`: the twelve that can be written.
        confidence: the minimum confidence, 0.001 to 1.
        nms: of two boxes of one label that overlap by more than this IoU the less
            confident one is dropped.
        labels: only these; None keeps all.
        resume: whether to resume an interrupted run.
        engine: `local`, or `ray` for the workers of a Ray cluster; their number does
            not change the results.
        ray_address: of the cluster; None starts Ray on this machine.
        on_progress: called with the number of images done and of all.

    Raises:
        UnknownFormatError, UnknownModelError, UnknownLabelError: there is none of that
            name; nothing was done.
        ModelLoadError, ImageReadError, ArchiveError, LimitError, ExportError,
            WorkerError: nothing could be done.

    >>> import imagebase
    >>> summary = imagebase.annotate("photos", "labels", formats=["coco", "yolo"])
    >>> summary.images, summary.refused
    (3, ())
    """
    # Unknown formats, and label files edited since, are refused before any work.
    for name in formats:
        format_named(name)
    folder, upload = _destination(output)
    if upload is not None:
        upload.check(formats)
    for name in formats:
        check_unchanged(folder / name)
    loaded = model if isinstance(model, DetectionModel) else load_model(model)
    loaded.check_labels(labels or ())
    rule = SelectionRule(confidence, nms, labels=tuple(labels) if labels else None)
    settings = {
        **_settings(loaded, rule),
        "formats": list(dict.fromkeys(formats)),
        "resume": resume,
        "engine": engine,
    }
    on_ray = None
    if engine == RAY:
        # Workers have other working directories.
        source = source if is_url(source) else Path(source).absolute()
        parts = parts_in(upload.location if upload else folder)
        on_ray = _ray_run(loaded, rule, os.fspath(source), parts, ray_address)
    summary = _run(source, folder, upload, loaded, rule, settings, on_progress, on_ray)
    _log.info("Run ended: %s", summary.in_words())
    return summary


def _destination(output: str | PathLike[str]) -> tuple[Path, Upload | None]:
    """Return the folder to write into, and how it gets to a URL."""
    if not is_url(output):
        return Path(output), None
    location = open_location(os.fspath(output))
    if location.local_path is not None:
        return location.local_path, None
    upload = Upload.to(location, process_settings().home)
    return upload.folder, upload


def _run(
    source: str | PathLike[str],
    output: Path,
    upload: Upload | None,
    model: DetectionModel,
    rule: SelectionRule,
    settings: dict[str, Any],
    on_progress: OnProgress,
    on_ray: "RayRun | None",
) -> RunSummary:
    started = time.perf_counter()
    skipped = SkippedFiles()
    files, refused = _usable(scan_source(source, _limits(), passed_over=skipped))
    key = _journal_key(model.detector, floor=floor_of(rule))
    with open_journal(output, key, resume=settings["resume"]) as journal:
        if on_ray is None:
            annotated = annotate_images(
                model, files, rule, journal=journal, on_progress=on_progress
            )
        else:
            on_ray.parts.begin(key, resume=settings["resume"])
            annotated = on_ray.annotate(files, on_progress)
        annotated = replace(annotated, refused=(*refused, *annotated.refused))
        with _writable(output):
            _remove_drafts(output)
            annotated = write_label_files(
                annotated,
                settings["formats"],
                files,
                output,
                max_pixels=_limits().max_image_pixels,
            )
            if upload is not None:
                upload.send(settings["formats"])
            summary = RunSummary.of(
                annotated,
                seconds=time.perf_counter() - started,
                load_seconds=model.load_seconds,
                model=model.detector,
                settings=settings,
                skipped=skipped,
            )
            write_run_file(output, summary)
            if upload is not None:
                upload.finish()
            journal.finish()
            parts_in(upload.location if upload else output).delete()
    return summary


def _ray_run(
    model: DetectionModel,
    rule: SelectionRule,
    source: str,
    parts: Parts,
    address: str | None,
) -> "RayRun":
    from imagebase.batch.ray_engine import RayRun, imported_ray

    imported_ray()  # it is missed before any work
    return RayRun(model, rule, source, parts, _limits(), address)


@contextlib.contextmanager
def _writable(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"{output}: the results cannot be written ({error.strerror}); "
            "give a folder you may write to."
        ) from error


def _settings(model: DetectionModel, rule: SelectionRule) -> dict[str, Any]:
    return {
        "confidence": rule.confidence_threshold,
        "nms": rule.nms_threshold,
        "labels": list(rule.labels) if rule.labels else None,
        "runtime": model.detector.runtime,
        "precision": model.detector.precision,
        "input_size": model.input_size.width,
        "quality": model.quality,
    }


def _remove_drafts(output: Path) -> None:
    """Remove what runs that were killed while they wrote have left."""
    for folder in output.glob(f"{DRAFT_PREFIX}*"):
        shutil.rmtree(folder)


def _journal_key(detector: Detector, *, floor: float) -> JournalKey:
    # Several passes over an image come to other candidates than one.
    passes = "" if detector.passes == ONE_PASS else f"+{detector.passes}"
    return JournalKey(
        model_sha256=detector.sha256 + passes,
        input_size=detector.input_size.width,
        runtime=detector.runtime,
        precision=detector.precision,
        floor=floor,
    )


def _usable(files: Iterable[SourceFile]) -> tuple[list[SourceFile], list[Refusal]]:
    """Return the files with UTF-8 names of their own, and refuse the others.

    A bucket may hold "a//b.jpg" beside "a/b.jpg"; label files do not tell them apart.
    """
    usable: dict[str, SourceFile] = {}
    refused = []
    for file in files:
        shown = file.name.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != file.name:
            refused.append(
                Refusal(shown, f"{shown} has a name that is not UTF-8; rename it.")
            )
        elif "\\" in shown or "//" in shown:
            refused.append(
                Refusal(shown, f'{shown} has "\\" or "//" in its name; rename it.')
            )
        elif file.name in usable:
            refused.append(
                Refusal(shown, f"{shown} is there twice; give one another name.")
            )
        else:
            usable[file.name] = file
    return list(usable.values()), refused


def annotate_images(
    model: DetectionModel,
    files: Sequence[SourceFile],
    rule: SelectionRule,
    *,
    journal: Journal | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> AnnotatedImages:
    """Return a record for every image that could be read, in the order of the files.

    The labels are all of the model's, in its order: a class id is the model's.

    Args:
        files: no two of them have the same name.
        journal: inference is skipped for files it holds; the others are added to it.
    """
    known = _known_images(files, model, rule, journal)
    unknown = [file for file in files if file.name not in known]
    fresh = _fresh_images(unknown, model, rule, journal)
    images: list[_Image] = []
    refused: list[Refusal] = []
    for done, file in enumerate(files, start=1):
        image = known[file.name] if file.name in known else next(fresh)
        if isinstance(image, Refusal):
            refused.append(image)
        else:
            images.append(image)
        on_progress(done, len(files))
    return AnnotatedImages(
        LabelSet.of(model.labels),
        tuple(image.record for image in images),
        tuple(refused),
        {image.record.file_name: image.header for image in images},
        resumed=len(known),
    )


class _Image(NamedTuple):
    record: ImageRecord
    header: ImageHeader


def _fresh_images(
    files: Sequence[SourceFile],
    model: DetectionModel,
    rule: SelectionRule,
    journal: Journal | None,
) -> Iterator[_Image | Refusal]:
    items = seen_images(
        files,
        model.detector,
        floor=floor_of(rule),
        max_pixels=_limits().max_image_pixels,
    )
    for item in items:
        if isinstance(item, Refusal):
            yield item
            continue
        if journal is not None:
            journal.add(item.name, item.head.content, item.seen)
        record = record_of(item.name, item.seen, model, rule)
        yield _Image(record, item.head.header)


def seen_images(
    files: Iterable[SourceFile],
    detector: Detector,
    *,
    floor: float,
    max_pixels: int,
    workers: int = STREAMS,
) -> Iterator[SeenImage | Refusal]:
    """Yield what the net sees on each image, in order, or why it cannot.

    Args:
        floor: the least confidence that is kept.
        max_pixels: of an image.
        workers: threads.
    """
    heads: dict[str, FileHead] = {}

    def read(file: SourceFile) -> bytes:
        data = file.read()
        heads[file.name] = FileHead.of(data, file.name, max_pixels=max_pixels)
        return data

    items = detect_many(
        detector,
        (ImageSource(file.name, partial(read, file)) for file in files),
        floor=floor,
        load=loader_for(detector, max_pixels=max_pixels),
        workers=workers,
    )
    for item in items:
        head = heads.pop(item.name, None)
        if item.size is None or item.candidates is None or head is None:
            yield Refusal(item.name, str(item.error))
        else:
            yield SeenImage(item.name, head, Seen(item.size, item.candidates))


def _known_images(
    files: Sequence[SourceFile],
    model: DetectionModel,
    rule: SelectionRule,
    journal: Journal | None,
) -> dict[str, _Image]:
    """Return the images that an interrupted run has done and that did not change."""
    known: dict[str, _Image] = {}
    max_pixels = _limits().max_image_pixels
    for file in files:
        if journal is None or file.name not in journal:
            continue
        # A file that cannot be read is unknown; it is refused when its turn comes.
        with contextlib.suppress(ImageBaseError, OSError):
            head = FileHead.of(file.read(), file.name, max_pixels=max_pixels)
            seen = journal.find(file.name, head.content)
            if seen is not None:
                record = record_of(file.name, seen, model, rule)
                known[file.name] = _Image(record, head.header)
    return known


def record_of(
    name: str, seen: Seen, model: DetectionModel, rule: SelectionRule
) -> ImageRecord:
    """Return the record of an image, named by its file."""
    # Two files may have the same content: here the name tells them apart.
    return ImageRecord(
        image_id=name,
        file_name=name,
        size=seen.size,
        annotations=tuple(model.annotations(model.select(seen.candidates, rule))),
        status=ReviewStatus.SUGGESTED,
    )


def _limits() -> Limits:
    return process_settings().limits_for(Mode.TEAM)
