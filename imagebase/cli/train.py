"""The `train` command: a custom model from images and label files."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, TextColumn

from imagebase.cli.console import (
    FAILED,
    Verbose,
    errors,
    local_path,
    local_source,
    refuse,
    reported_errors,
    say,
    show,
)
from imagebase.errors import TrainingError
from imagebase.settings import DEFAULT_MODEL
from imagebase.training.run_settings import DEFAULT_INPUT_SIZE, DEFAULT_MINUTES
from imagebase.wording import plural

if TYPE_CHECKING:
    from imagebase.training.run_folder import Evaluation
    from imagebase.training.run_folder import Progress as Step
    from imagebase.training.run_settings import TrainingSettings

    OnEntry = Callable[[Step | Evaluation], None]

WORK: Final = ".training"
_LINES_SHOWN: Final = 12

_Images = Annotated[
    Path,
    typer.Option(
        "--images", callback=local_source, help="The images: a folder or a zip."
    ),
]
_Labels = Annotated[
    Path,
    typer.Option(
        "--labels",
        callback=local_source,
        help="Their labels: a folder, a zip or one file.",
    ),
]
_Output = Annotated[
    Path,
    typer.Option(
        "--output", callback=local_path, help="The folder to write the model to."
    ),
]
_Format = Annotated[
    str | None,
    typer.Option("--labels-format", help="Format of the labels. Default: recognised."),
]
_Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        min=0.05,
        help=f"Training time in minutes. Default: {DEFAULT_MINUTES:g}.",
    ),
]
_Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, help="Number of epochs, instead of minutes."),
]
_InputSize = Annotated[
    int,
    typer.Option("--input-size", help="Side of the network's input, a multiple of 32."),
]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Resume an interrupted training run on the same labels, for the length "
        "given now, else the length given then.",
    ),
]
_Model = Annotated[
    str,
    typer.Option(
        "--model", help="The Darknet model to start from: a name or a folder."
    ),
]
_Anchors = Annotated[
    bool, typer.Option("--own-anchors", help="Compute anchors from these boxes.")
]
_Flip = Annotated[
    bool,
    typer.Option(
        "--flip/--no-flip",
        help="Mirror images; not for text, or labels of left and right.",
    ),
]
_Colours = Annotated[
    bool,
    typer.Option(
        "--colours/--no-colours", help="Vary colours; not where colour is the label."
    ),
]
_Steps = Annotated[int | None, typer.Option("--steps", min=1, hidden=True)]
_Precision = Annotated[str, typer.Option("--precision", hidden=True)]


def train(
    images: _Images,
    labels: _Labels,
    output: _Output,
    labels_format: _Format = None,
    minutes: _Minutes = None,
    epochs: _Epochs = None,
    input_size: _InputSize = DEFAULT_INPUT_SIZE,
    resume: _Resume = False,
    model: _Model = DEFAULT_MODEL,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    own_anchors: _Anchors = False,
    flip: _Flip = True,
    colours: _Colours = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    verbose: Verbose = False,
    steps: _Steps = None,
    precision: _Precision = "auto",
) -> None:
    """Train a custom YOLOv4-tiny on this machine, in minutes.

    Writes obj.cfg, obj.weights, obj.names, obj.onnx, metrics.json, history.csv and
    report.html. Ctrl+C stops the run; --resume continues it.

    Exit code 0: done; 1: training failed or was stopped; 2: wrong usage.
    """
    from imagebase.training.checks import require_torch
    from imagebase.training.run_settings import TrainingSettings, check_input_size

    given = [value for value in (minutes, epochs, steps) if value is not None]
    if len(given) > 1:
        refuse("Give --minutes or --epochs, not both.")
    if labels.is_dir() and output.resolve() == labels.resolve():
        refuse(
            "The model would be written among the labels; give another folder with "
            f"--output, such as {output / 'model'}."
        )
    with reported_errors():
        require_torch()
        try:
            size = check_input_size(input_size)
        except TrainingError as error:
            refuse(f"--input-size: {error}")
        settings = TrainingSettings(
            base=_base(model),
            minutes=minutes if given else DEFAULT_MINUTES,
            epochs=epochs,
            steps=steps,
            seed=seed,
            flip=flip,
            colours=colours,
            cluster_anchors=own_anchors,
            precision=precision,
        )
        request = _Request(
            images,
            labels,
            output,
            labels_format,
            size.width,
            settings,
            has_length=bool(given),
        )
        metrics = request.run(resume=resume, quiet=quiet)
    if metrics is None:
        say("Stopped; run the same command with --resume to continue.")
        raise typer.Exit(FAILED)
    for warning in metrics["warnings"]:
        say(f"Note: {warning}")
    show(_in_words(metrics, output))


@dataclass(frozen=True, slots=True)
class _Request:
    """The training data, the settings, and the output folder of a run."""

    images: Path
    labels: Path
    output: Path
    format: str | None
    side: int
    settings: "TrainingSettings"
    has_length: bool

    def run(self, *, resume: bool, quiet: bool) -> dict[str, Any] | None:
        """Return the metrics; None where the run was stopped."""
        with (
            _writable(self.output),
            _shown(quiet=quiet) as on_entry,
            _stoppable() as must_stop,
        ):
            return self._run(on_entry, must_stop, resume=resume)

    def _run(
        self, on_entry: "OnEntry", must_stop: Callable[[], bool], *, resume: bool
    ) -> dict[str, Any] | None:
        from imagebase.training.session import (
            clean_up,
            run_training,
            set_length,
            work_quietly,
        )

        work_quietly()
        work = self.output / WORK
        if resume and self._can_resume(work):
            if self.has_length:
                set_length(work, self.settings)
        elif not self._begin(work, on_entry, must_stop, resume=resume):
            return None
        metrics = run_training(
            work, self.output, on_entry=on_entry, must_stop=must_stop
        )
        if metrics is not None:
            clean_up(work)
        return metrics

    def _can_resume(self, work: Path) -> bool:
        """Return whether there is an interrupted training run to resume.

        Raises:
            TrainingError: it is finished, or has other labels or settings.
        """
        from imagebase.training.session import read_plan

        if _is_finished(work):
            raise TrainingError(
                f"That training run is finished, its model is in {self.output}; leave "
                "--resume out to train again, and add --model "
                f"{self.output} to start from that model."
            )
        plan = read_plan(work)
        if plan is None or not _is_interrupted(work):
            say("There is no interrupted training run in the output; a new one starts.")
            return False
        if plan.came_from != self._fingerprint():
            raise TrainingError(
                "The labels have changed since that training run was interrupted; "
                "leave --resume out to start over."
            )
        is_same = self.settings.same_but_length(plan.settings)
        if not is_same or plan.input_size.width != self.side:
            raise TrainingError(
                "That training run has other settings; give the same, or leave "
                "--resume out to start over."
            )
        return True

    def _begin(
        self,
        work: Path,
        on_entry: "OnEntry",
        must_stop: Callable[[], bool],
        *,
        resume: bool,
    ) -> bool:
        from imagebase.annotation import Size
        from imagebase.training.session import prepare_run
        from imagebase.training.sources import from_label_files

        gathered = from_label_files(
            self.images, self.labels, format_name=self.format, output=self.output
        )
        for line in gathered.left_out(_LINES_SHOWN):
            say(f"Left out: {line}")
        if not resume and _is_interrupted(work):
            say(
                "The interrupted training run in the output is discarded; --resume "
                "would have continued it."
            )
        begun = prepare_run(
            work,
            gathered,
            self.settings,
            input_size=Size(self.side, self.side),
            came_from=self._fingerprint(),
            on_entry=on_entry,
            must_stop=must_stop,
        )
        return begun is not None

    def _fingerprint(self) -> str:
        from imagebase.training.sources import fingerprint

        return fingerprint(self.labels, output=self.output)


def _is_finished(work: Path) -> bool:
    from imagebase.training.run_folder import read_log

    progress = read_log(work).progress
    return progress is not None and progress.phase == "done"


def _is_interrupted(work: Path) -> bool:
    from imagebase.training import run_folder

    files = (run_folder.PLAN, run_folder.SET)
    return all((work / name).is_file() for name in files) and not _is_finished(work)


@contextlib.contextmanager
def _writable(output: Path) -> Iterator[None]:
    """Report an output that cannot be written as a TrainingError."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{output}: the model cannot be written ({error.strerror or error}); give "
            "a folder you may write to with --output."
        ) from error


def _base(model: str) -> str:
    from imagebase.detection.library import find_model

    return str(find_model(model).folder)


def _in_words(metrics: dict[str, Any], output: Path) -> str:
    ap50, around = metrics["AP50"], metrics["AP50_interval"]
    score = f"AP50 {ap50:.3f}" if ap50 is not None else "no validation images"
    between = f" ({around[0]:.3f} to {around[1]:.3f})" if around else ""
    return (
        f"{score}{between} after {metrics['minutes']:.1f} minutes, "
        f"{plural(metrics['images']['train'], 'image')} learned from, "
        f"{metrics['images']['val']:,} for validation; model in {output}"
    )


@contextlib.contextmanager
def _shown(*, quiet: bool) -> Iterator["OnEntry"]:
    """Show progress: a bar on a terminal, and a line for each evaluation."""
    from imagebase.training.run_folder import Evaluation

    if quiet:
        yield lambda entry: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    with bar:
        task = bar.add_task("Preparing", total=None)

        def show(entry: "Step | Evaluation") -> None:
            if isinstance(entry, Evaluation):
                say(_evaluation_in_words(entry))
            else:
                bar.update(
                    task,
                    description=entry.in_words(),
                    completed=entry.done,
                    total=entry.total or None,
                )

        yield show


def _evaluation_in_words(entry: "Evaluation") -> str:
    ap50 = "" if entry.ap50 is None else f", AP50 {entry.ap50:.3f}"
    best = " (best so far)" if entry.is_best and entry.ap50 is not None else ""
    loss = "" if entry.loss is None else f": loss {entry.loss:.2f}"
    return f"{entry.seconds / 60:.1f} min, epoch {entry.epoch:.1f}{loss}{ap50}{best}"


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Let Ctrl+C and SIGTERM stop the run after this step."""
    is_asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal is_asked
        is_asked = True

    before = {
        number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: is_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
