"""Label images that lie somewhere, without a store: what `annotate` does."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.batch.output import Labelled, write_label_files
from imagebase.batch.resume import (
    Fingerprint,
    Journal,
    JournalKey,
    Seen,
    fingerprint,
    open_journal,
)
from imagebase.batch.summary import Refusal, RunSummary, write_run_file
from imagebase.detection.candidates import select
from imagebase.detection.detector import CANDIDATE_FLOOR, ONE_PASS, Detector
from imagebase.detection.ensemble import common_labels
from imagebase.detection.factory import FAST, load_detector
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model
from imagebase.detection.pipeline import ImageSource, detect_many, loader_for
from imagebase.detection.selection_rule import SelectionRule, as_annotations
from imagebase.errors import ExportError, ImageBaseError, UnknownLabelError
from imagebase.formats.manifest import check_unchanged
from imagebase.formats.registry import format_named
from imagebase.formats.verified_export import DRAFT_PREFIX
from imagebase.images.decode import ImageHeader, read_header
from imagebase.images.scan import SourceFile, scan_source
from imagebase.images.skipped_files import PassedOver
from imagebase.settings import Limits, Mode
from imagebase.settings import settings as process_settings

OnProgress = Callable[[int, int], None]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How the images are looked at; runtime and precision as `load_detector` has them.

    input_size: the net's side in pixels; None leaves it as the model has it.
    quality: `fast` for one look at each image, `accurate` for several that are fused.
    """

    rule: SelectionRule = field(default_factory=SelectionRule)
    runtime: str = "auto"
    precision: str = "auto"
    input_size: int | None = None
    quality: str = FAST

    @property
    def floor(self) -> float:
        """The least confidence kept; it never lies above the threshold."""
        return min(CANDIDATE_FLOOR, self.rule.confidence_threshold)


class _Found(NamedTuple):
    """A labelled image, and what its file said of itself."""

    record: ImageRecord
    header: ImageHeader


class _First(NamedTuple):
    """What is kept of a file that was read for the net."""

    content: Fingerprint
    header: ImageHeader


def run(
    source: str,
    output: Path,
    *,
    model_name: str,
    formats: Sequence[str],
    settings: RunSettings,
    resume: bool = True,
    on_progress: OnProgress = lambda done, total: None,
) -> RunSummary:
    """Label a source and write its label files and run.json.

    Where no image could be labelled, run.json alone is: label files of an earlier run
    stay. Until they are written a journal in the output tells what was seen; the next
    run with the same model and net settings goes on from there.

    Args:
        source: a folder, a zip, one image, or an fsspec URL.
        output: a folder; each format writes into a folder of its own in it.
        model_name: a name, a folder or an .onnx file; several with commas between vote.
        formats: names that `imagebase.formats` knows.
        resume: whether to go on from what an interrupted run left.
        on_progress: called with the images done and their number.

    Raises:
        UnknownFormatError, UnknownModelError, UnknownLabelError: there is none of that
            name; nothing was done.
        ModelLoadError, ImageReadError, ArchiveError, LimitError, ExportError: nothing
            could be done.
    """
    for format_name in formats:
        # An unknown name, and labels mended by hand, are errors before any work.
        format_named(format_name)
        check_unchanged(output / format_name)
    models = _models(model_name)
    _check_labels(settings.rule, models)
    began = time.perf_counter()
    detector = load_detector(
        models,
        quality=settings.quality,
        runtime=settings.runtime,
        precision=settings.precision,
        input_size=settings.input_size,
    )
    opened = time.perf_counter()
    passed_over = PassedOver()
    files, refused = _usable(scan_source(source, _limits(), passed_over=passed_over))
    key = _journal_key(detector, settings)
    with open_journal(output, key, resume=resume) as journal:
        labelled = label_images(
            detector, files, settings, journal=journal, on_progress=on_progress
        )
        labelled = replace(labelled, refused=(*refused, *labelled.refused))
        try:
            _remove_drafts(output)
            labelled = write_label_files(
                labelled,
                formats,
                files,
                output,
                max_pixels=_limits().max_image_pixels,
            )
            seconds = time.perf_counter() - opened
            summary = _summary(labelled, detector, settings, seconds, opened - began)
            summary = replace(
                summary,
                passed_over=passed_over.kinds,
                remarks=tuple(passed_over.sentences()),
            )
            summary.settings.update(formats=list(dict.fromkeys(formats)), resume=resume)
            write_run_file(output, summary)
            journal.finish()
        except OSError as error:
            raise ExportError(
                f"{output}: the results cannot be written ({error.strerror}); "
                "give a folder you may write to."
            ) from error
    _log.info("Run ended: %s", summary.in_words())
    return summary


def _remove_drafts(output: Path) -> None:
    """Remove what runs that were killed while they wrote have left."""
    for folder in output.glob(f"{DRAFT_PREFIX}*"):
        shutil.rmtree(folder)


def _models(names: str) -> list[Model]:
    """Return the model of a name or a path, or several with commas between."""
    parts = [one.strip() for one in names.split(",") if one.strip()]
    if len(parts) < 2 or Path(names).exists():
        return [find_model(names)]
    return [find_model(one) for one in parts]


def _check_labels(rule: SelectionRule, models: Sequence[Model]) -> None:
    labels, _ = common_labels([one.labels for one in models])
    for name in rule.labels or ():
        if name not in labels:
            near = get_close_matches(name, labels) or labels[:5]
            raise UnknownLabelError(
                f"{' + '.join(one.name for one in models)} has no label {name!r} among "
                f"its {len(labels)}; is it {' or '.join(map(repr, near))}?"
            )


def _journal_key(detector: Detector, settings: RunSettings) -> JournalKey:
    return JournalKey(
        model_sha256=detector.sha256 + _passes_in_key(detector),
        input_size=detector.input_size.width,
        runtime=detector.runtime,
        precision=detector.precision,
        floor=settings.floor,
    )


def _passes_in_key(detector: Detector) -> str:
    """Return what tells the answers of several looks from those of one."""
    return "" if detector.passes == ONE_PASS else f"+{detector.passes}"


def _usable(
    files: Iterable[SourceFile],
) -> tuple[list[SourceFile], list[Refusal]]:
    """Return the files that a label file can tell apart, and refuse the others."""
    usable: dict[str, SourceFile] = {}
    refused = []
    for one in files:
        shown = one.name.encode("utf-8", "backslashreplace").decode("utf-8")
        if shown != one.name:
            refused.append(
                Refusal(shown, f"{shown} has a name that is not UTF-8; rename it.")
            )
        elif one.name in usable:
            refused.append(
                Refusal(shown, f"{shown} is there twice; give one another name.")
            )
        else:
            usable[one.name] = one
    return list(usable.values()), refused


def label_images(
    detector: Detector,
    files: Sequence[SourceFile],
    settings: RunSettings,
    *,
    journal: Journal | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Labelled:
    """Return a record for every image that could be read, in the order of the files.

    The labels are all of the model's, in its order: a class id is the model's.

    Args:
        files: no two of them have the same name.
        journal: what it has of these very files is not run through the net; the other
            images are added to it as they come.
    """
    known = _known_records(files, detector, settings.rule, journal)
    unknown = [one for one in files if one.name not in known]
    fresh = _fresh_records(unknown, detector, settings, journal)
    found: list[_Found] = []
    refused: list[Refusal] = []
    for done, file in enumerate(files, start=1):
        one = known[file.name] if file.name in known else next(fresh)
        if isinstance(one, Refusal):
            refused.append(one)
        else:
            found.append(one)
        on_progress(done, len(files))
    return Labelled(
        LabelSet.of(detector.labels),
        tuple(one.record for one in found),
        tuple(refused),
        {one.record.file_name: one.header for one in found},
        resumed=len(known),
    )


def _fresh_records(
    files: Sequence[SourceFile],
    detector: Detector,
    settings: RunSettings,
    journal: Journal | None,
) -> Iterator[_Found | Refusal]:
    firsts: dict[str, _First] = {}
    items = detect_many(
        detector,
        (ImageSource(one.name, partial(_read, one, firsts)) for one in files),
        floor=settings.floor,
        load=loader_for(detector, max_pixels=_limits().max_image_pixels),
    )
    for item in items:
        first = firsts.pop(item.name, None)
        if item.size is None or item.candidates is None or first is None:
            yield Refusal(item.name, str(item.error))
            continue
        seen = Seen(item.size, item.candidates)
        if journal is not None:
            journal.add(item.name, first.content, seen)
        record = _as_record(item.name, seen, detector, settings.rule)
        yield _Found(record, first.header)


def _known_records(
    files: Sequence[SourceFile],
    detector: Detector,
    rule: SelectionRule,
    journal: Journal | None,
) -> dict[str, _Found]:
    """Return the records of the files that an interrupted run saw as they are now."""
    known: dict[str, _Found] = {}
    firsts: dict[str, _First] = {}
    for one in files:
        if journal is None or one.name not in journal:
            continue
        # What cannot be read is unknown; it is refused when its turn comes.
        with contextlib.suppress(ImageBaseError, OSError):
            _read(one, firsts)
            first = firsts.pop(one.name)
            seen = journal.find(one.name, first.content)
            if seen is not None:
                record = _as_record(one.name, seen, detector, rule)
                known[one.name] = _Found(record, first.header)
    return known


def _read(file: SourceFile, firsts: dict[str, _First]) -> bytes:
    data = file.read()
    max_pixels = _limits().max_image_pixels
    header = read_header(data, file_name=file.name, max_pixels=max_pixels)
    firsts[file.name] = _First(fingerprint(data), header)
    return data


def _as_record(
    name: str, seen: Seen, detector: Detector, rule: SelectionRule
) -> ImageRecord:
    found = select(
        seen.candidates,
        confidence_threshold=rule.confidence_threshold,
        nms_threshold=rule.nms_threshold,
        class_ids=rule.class_ids(detector.labels),
    )
    boxes = as_annotations(
        found,
        model_labels=detector.labels,
        model_id=detector.model_id,
        voters=detector.voters,
    )
    # Two files may have the same content: here the name is what tells them apart.
    return ImageRecord(
        image_id=name,
        file_name=name,
        size=seen.size,
        annotations=tuple(boxes),
        status=ReviewStatus.SUGGESTED,
    )


def _summary(
    labelled: Labelled,
    detector: Detector,
    settings: RunSettings,
    seconds: float,
    load_seconds: float,
) -> RunSummary:
    rule = settings.rule
    count = len(labelled.records)
    return RunSummary(
        images=count,
        boxes=sum(len(record.annotations) for record in labelled.records),
        refused=labelled.refused,
        seconds=seconds,
        images_per_second=count / seconds if seconds else 0.0,
        load_seconds=load_seconds,
        model={"id": detector.model_id, "sha256": detector.sha256},
        settings={
            "confidence": rule.confidence_threshold,
            "nms": rule.nms_threshold,
            "labels": list(rule.labels) if rule.labels else None,
            "runtime": detector.runtime,
            "precision": detector.precision,
            "input_size": detector.input_size.width,
            "quality": settings.quality,
            "engine": "local",
        },
        resumed=labelled.resumed,
    )


def _limits() -> Limits:
    return process_settings().limits_for(Mode.TEAM)
