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
from typing import Any, Final, NamedTuple

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.batch.output import (
    AnnotatedImages,
    Refusal,
    RunSummary,
    write_label_files,
    write_run_file,
)
from imagebase.batch.resume import (
    Fingerprint,
    Journal,
    JournalKey,
    Seen,
    fingerprint,
    open_journal,
)
from imagebase.batch.upload import Upload
from imagebase.detection.detection_model import DetectionModel, floor_of, load_model
from imagebase.detection.detector import ONE_PASS, Detector
from imagebase.detection.pipeline import ImageSource, detect_many, loader_for
from imagebase.detection.selection_rule import SelectionRule
from imagebase.errors import ExportError, ImageBaseError
from imagebase.formats.manifest import check_unchanged
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import DRAFT_PREFIX
from imagebase.images.decode import ImageHeader, read_header
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

OnProgress = Callable[[int, int], None]

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
        on_progress: called with the number of images done and of all.

    Raises:
        UnknownFormatError, UnknownModelError, UnknownLabelError: there is none of that
            name; nothing was done.
        ModelLoadError, ImageReadError, ArchiveError, LimitError, ExportError: nothing
            could be done.

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
    }
    summary = _run(source, folder, upload, loaded, rule, settings, on_progress)
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
) -> RunSummary:
    started = time.perf_counter()
    skipped = SkippedFiles()
    files, refused = _usable(scan_source(source, _limits(), passed_over=skipped))
    key = _journal_key(model.detector, floor=floor_of(rule))
    with open_journal(output, key, resume=settings["resume"]) as journal:
        annotated = annotate_images(
            model, files, rule, journal=journal, on_progress=on_progress
        )
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
    return summary


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
        "engine": "local",
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
    """Return the files with UTF-8 names of their own, and refuse the others."""
    usable: dict[str, SourceFile] = {}
    refused = []
    for file in files:
        shown = file.name.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != file.name:
            refused.append(
                Refusal(shown, f"{shown} has a name that is not UTF-8; rename it.")
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


class _FileHead(NamedTuple):
    content: Fingerprint
    header: ImageHeader


def _fresh_images(
    files: Sequence[SourceFile],
    model: DetectionModel,
    rule: SelectionRule,
    journal: Journal | None,
) -> Iterator[_Image | Refusal]:
    heads: dict[str, _FileHead] = {}
    items = detect_many(
        model.detector,
        (ImageSource(file.name, partial(_read, file, heads)) for file in files),
        floor=floor_of(rule),
        load=loader_for(model.detector, max_pixels=_limits().max_image_pixels),
    )
    for item in items:
        head = heads.pop(item.name, None)
        if item.size is None or item.candidates is None or head is None:
            yield Refusal(item.name, str(item.error))
            continue
        seen = Seen(item.size, item.candidates)
        if journal is not None:
            journal.add(item.name, head.content, seen)
        yield _Image(_record(item.name, seen, model, rule), head.header)


def _known_images(
    files: Sequence[SourceFile],
    model: DetectionModel,
    rule: SelectionRule,
    journal: Journal | None,
) -> dict[str, _Image]:
    """Return the images that an interrupted run has done and that did not change."""
    known: dict[str, _Image] = {}
    heads: dict[str, _FileHead] = {}
    for file in files:
        if journal is None or file.name not in journal:
            continue
        # A file that cannot be read is unknown; it is refused when its turn comes.
        with contextlib.suppress(ImageBaseError, OSError):
            _read(file, heads)
            head = heads.pop(file.name)
            seen = journal.find(file.name, head.content)
            if seen is not None:
                record = _record(file.name, seen, model, rule)
                known[file.name] = _Image(record, head.header)
    return known


def _read(file: SourceFile, heads: dict[str, _FileHead]) -> bytes:
    data = file.read()
    max_pixels = _limits().max_image_pixels
    header = read_header(data, file_name=file.name, max_pixels=max_pixels)
    heads[file.name] = _FileHead(fingerprint(data), header)
    return data


def _record(
    name: str, seen: Seen, model: DetectionModel, rule: SelectionRule
) -> ImageRecord:
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
