"""Judge models on files: what `evaluate` does."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from imagebase import __version__
from imagebase.annotation import Size, utc_now
from imagebase.detection.library import find_model
from imagebase.detection.pipeline import ImageSource
from imagebase.errors import (
    EvaluationError,
    EvaluationRequestError,
    ImageBaseError,
    ModelLoadError,
)
from imagebase.evaluation.comparison import ModelResult, judge_models
from imagebase.evaluation.detection_files import read_detections
from imagebase.evaluation.detection_pass import (
    DetectionPass,
    ModelSpec,
    parse_model_spec,
    run_pass,
)
from imagebase.evaluation.ground_truth import (
    GivenImages,
    LabelFiles,
    NotJudged,
    read_truth,
)
from imagebase.evaluation.report import PictureOf, ReportHeader, report
from imagebase.evaluation.storage import metrics
from imagebase.formats.placement import Frame
from imagebase.formats.registry import readable_format
from imagebase.images.decode import (
    RgbArray,
    fitted_size,
    load_image,
    read_header,
    resized,
)
from imagebase.images.scan import SourceFile, scan_source
from imagebase.images.skipped_files import EARLIER, SkippedFiles
from imagebase.settings import DEFAULT_CONFIDENCE, Limits, Mode, settings

METRICS_FILE: Final = "metrics.json"
REPORT_FILE: Final = "report.html"
PICTURE_PX: Final = 480

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Request:
    """Request for an evaluation.

    images: a folder, a zip or a URL; None where no model is run.
    labels: any label file. models: as `parse_model_spec` reads them. detections: of
    other programs, by name. choices: what labels of models are called in the truth.
    threshold: the confidence that models are used at.
    """

    images: str | None
    labels: Path
    models: Sequence[str]
    detections: Mapping[str, Path]
    labels_format: str | None
    choices: Mapping[str, str | None] | None
    threshold: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Result of an evaluation.

    not_judged: images, boxes and models that were not judged.
    changed: images whose boxes were scaled or turned, and why.
    """

    results: tuple[ModelResult, ...]
    not_judged: tuple[NotJudged, ...]
    changed: tuple[NotJudged, ...] = ()

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures by model, as metrics.json has them."""
        return metrics(self.results)


def evaluate(
    labels: str | PathLike[str],
    output: str | PathLike[str],
    *,
    images: str | PathLike[str] | None = None,
    models: Sequence[str] = (),
    detections: Mapping[str, str | PathLike[str]] | None = None,
    labels_format: str | None = None,
    label_mapping: Mapping[str, str | None] | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    on_progress: OnProgress = lambda model, done, total: None,
) -> Evaluated:
    """Evaluate models on labelled images: AP as COCO defines it, and a report.

    Writes `metrics.json` and `report.html`.

    Args:
        labels: the ground truth: label files of any format.
        output: a folder, made if need be.
        images: a folder, a zip, one image or a URL; models need it.
        models: each `NAME[@SIZE][+accurate][+f32|+bf16]`; with & between names an
            ensemble; or `examples:` and a folder, as in `load_model`.
        detections: results of other programs, by a name for each.
        labels_format: of the ground truth; None recognises it.
        label_mapping: what a model's label is called in the ground truth; None leaves
            it out. The same names and common synonyms are matched without it.
        confidence: the threshold that precision and recall are given at; AP does not
            depend on it.
        on_progress: called with a model, the images done, and their number.

    Raises:
        EvaluationRequestError, UnknownModelError, UnknownFormatError: wrong arguments;
            nothing was done.
        ModelLoadError: none of the models can be loaded.
        EvaluationError, AnnotationFileError, ImageReadError: it could not be done.

    >>> import imagebase
    >>> evaluated = imagebase.evaluate(
    ...     "labels/coco", "report", images="photos", models=["yolov4-tiny"]
    ... )
    >>> round(evaluated.metrics["yolov4-tiny"]["AP50"], 2)
    1.0
    """
    request = _Request(
        images=None if images is None else fspath(images),
        labels=Path(labels),
        models=models,
        detections={name: Path(path) for name, path in (detections or {}).items()},
        labels_format=labels_format,
        choices=label_mapping,
        threshold=confidence,
    )
    return _evaluate(request, Path(output), on_progress)


def _evaluate(asked: _Request, output: Path, on_progress: OnProgress) -> Evaluated:
    model_specs = _check(asked)
    files, shut = _files(asked.images)
    limits = _limits()
    frames = {file.name: _frame_of(file, limits) for file in files.values()}
    labels = read_truth(
        asked.labels,
        format_name=asked.labels_format,
        images=_given(asked.images, files, frames),
        needs_files=bool(model_specs),
    )
    theirs = [
        read_detections(name, path, labels, choices=asked.choices)
        for name, path in asked.detections.items()
    ]
    _check_writable(output)
    ours, failed = _passes(model_specs, asked, labels, files, on_progress)
    if failed and not (ours or theirs):
        raise next(iter(failed.values()))
    models = [NotJudged(spec, str(error)) for spec, error in failed.items()]
    results = judge_models(labels.truth, [*ours, *theirs], threshold=asked.threshold)
    notes = list(_notes(asked, labels, models))
    _write(results, notes, output, _picture_of(labels, files, limits))
    return Evaluated(
        tuple(results), (*models, *shut, *labels.not_judged), labels.changed
    )


def _passes(
    model_specs: Sequence[ModelSpec],
    asked: _Request,
    labels: LabelFiles,
    files: Mapping[str, SourceFile],
    on_progress: OnProgress,
) -> tuple[list[DetectionPass], dict[str, ModelLoadError]]:
    """Return what the models found, and why some could not be loaded, by their spec."""
    passes, failed = [], {}
    for model_spec in model_specs:
        try:
            passed = run_pass(
                model_spec,
                labels.truth,
                [ImageSource(name, files[name].read) for name in labels.files],
                choices_for=lambda _: asked.choices or {},
                on_looked=_looked(model_spec.spec, len(labels.files), on_progress),
                max_pixels=_limits().max_image_pixels,
            )
        except ModelLoadError as error:
            failed[model_spec.spec] = error
        else:
            passes.append(passed)
    return passes, failed


def _check(asked: _Request) -> list[ModelSpec]:
    """Return the models, all of which there are: a wrong name shall cost no work.

    Raises:
        EvaluationRequestError: the request contradicts itself.
        UnknownModelError, UnknownFormatError: there is none of that name.
    """
    model_specs = [parse_model_spec(spec) for spec in asked.models]
    names = [model_spec.spec for model_spec in model_specs] + list(asked.detections)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise EvaluationRequestError(f"{twice} is named twice; name each model once.")
    if not names:
        raise EvaluationRequestError(
            "Nothing is to be judged; name a model or detections."
        )
    if model_specs and asked.images is None:
        raise EvaluationRequestError(
            "A model needs images to run on; name their folder."
        )
    for model_spec in model_specs:
        for name in () if model_spec.is_by_examples else model_spec.models:
            find_model(name)
    if asked.labels_format:
        readable_format(asked.labels_format)
    return model_specs


def _files(images: str | None) -> tuple[dict[str, SourceFile], list[NotJudged]]:
    """Return the files by name, and the folders that cannot be searched through."""
    over = SkippedFiles()
    scanned = () if images is None else scan_source(images, _limits(), passed_over=over)
    scanned_files = tuple(scanned)
    shut = [
        NotJudged(found_file.name, _reason(found_file))
        for found_file in scanned_files
        if found_file.is_folder
    ]
    shut += [NotJudged(export, EARLIER) for export in over.exports]
    return {
        found_file.name: found_file
        for found_file in scanned_files
        if not found_file.is_folder
    }, shut


def _reason(file: SourceFile) -> str:
    try:
        file.read()
    except ImageBaseError as error:
        return str(error)
    return ""


def _given(
    images: str | None,
    files: Mapping[str, SourceFile],
    frames: Mapping[str, Frame | None],
) -> GivenImages | None:
    if images is None:
        return None
    at = Path(images) if Path(images).is_dir() else None
    return GivenImages(frames, at, lambda name: files[name].read())


def _frame_of(file: SourceFile, limits: Limits) -> Frame | None:
    try:
        header = read_header(
            file.read(), file_name=file.name, max_pixels=limits.max_image_pixels
        )
    except (ImageBaseError, OSError):
        return None
    return Frame(header.size, header.orientation)


def _looked(spec: str, total: int, on_progress: OnProgress) -> Callable[[int], bool]:
    on_progress(spec, 0, total)

    def looked(done: int) -> bool:
        on_progress(spec, done, total)
        return True

    return looked


def _picture_of(
    labels: LabelFiles, files: Mapping[str, SourceFile], limits: Limits
) -> PictureOf:
    def picture(image: int) -> RgbArray | None:
        file = files.get(labels.files[image])
        return None if file is None else small_image(file.name, file.read, limits)

    return picture


def small_image(
    name: str, read: Callable[[], bytes], limits: Limits
) -> RgbArray | None:
    """Return an image's pixels, no more than a report shows; None where that fails."""
    try:
        loaded = load_image(
            read(),
            file_name=name,
            max_pixels=limits.max_image_pixels,
            wanted=Size(PICTURE_PX, PICTURE_PX),
        )
    except (ImageBaseError, OSError):
        return None
    return resized(loaded.rgb, fitted_size(loaded.size, longest_side=PICTURE_PX))


def _check_writable(output: Path) -> None:
    """Make a folder and see that files can be put there.

    Raises:
        EvaluationError: they cannot.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise _unwritable(output, error) from error


def _unwritable(output: Path, error: OSError) -> EvaluationError:
    return EvaluationError(
        f"{output}: the results cannot be written ({error.strerror}); "
        "give a folder you may write to."
    )


def _write(
    results: Sequence[ModelResult],
    notes: Sequence[str],
    output: Path,
    picture_of: PictureOf,
) -> None:
    document = json.dumps(metrics(results), indent=2, ensure_ascii=False) + "\n"
    about = ReportHeader(
        "How good are these models?", made_in_words(utc_now()), tuple(notes)
    )
    try:
        write_whole(output / METRICS_FILE, document)
        write_whole(output / REPORT_FILE, report(about, results, picture_of))
    except OSError as error:
        raise _unwritable(output, error) from error


def made_in_words(moment: datetime) -> str:
    """Return when and with what a report was made."""
    return f"Judged on {moment:%Y-%m-%d %H:%M} UTC by ImageBase {__version__}."


def _notes(
    asked: _Request, labels: LabelFiles, models: Sequence[NotJudged]
) -> Iterator[str]:
    yield f"Judged by {asked.labels.name}."
    for model in models:
        yield f"{model.what} could not be judged: {model.reason}"
    if labels.not_judged:
        first = labels.not_judged[0]
        count = len(labels.not_judged)
        what = "1 entry was" if count == 1 else f"{count:,} entries were"
        yield f"{what} left out, the first of them {first.what}: {first.reason}."


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: a reader finds the last one or this one."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def summary(evaluated: Evaluated) -> str:
    """Return the figures as a table of text."""
    heads = ("model", "AP", "AP50", "precision", "recall", "images/s")
    rows = [heads, *(_summary_row(result) for result in evaluated.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _summary_row(model_result: ModelResult) -> tuple[str, ...]:
    at, cost = model_result.point(), model_result.passed.cost
    shares = (
        model_result.figures["AP"],
        model_result.figures["AP50"],
        at.precision,
        at.recall,
    )
    return (
        model_result.spec,
        *("–" if share is None else f"{share:.3f}" for share in shares),
        f"{cost.images_per_second:.1f}" if cost else "–",
    )


def _limits() -> Limits:
    return settings().limits_for(Mode.TEAM)
