"""The `frames` command: a video in, images out."""

from typing import Annotated

import typer

from imagebase.cli.console import (
    FAILED,
    Output,
    Quiet,
    Verbose,
    progress_bar,
    refuse,
    reported_errors,
    say,
    show,
)

_Video = Annotated[str, typer.Argument(help="An MP4, MOV, AVI, MKV or WebM file.")]
_Every = Annotated[
    int | None, typer.Option("--every", min=1, help="Write every n-th frame.")
]
_Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds", min=0.001, help="Write a frame every so many seconds. Default: 1."
    ),
]
_Scenes = Annotated[
    bool, typer.Option("--scenes", help="Write a frame for each new scene.")
]
_Duplicates = Annotated[
    bool,
    typer.Option(
        "--keep-duplicates",
        help="Also write frames that are nearly the same as the last one written.",
    ),
]


def frames(
    video: _Video,
    output: Output,
    every: _Every = None,
    seconds: _Seconds = None,
    scenes: _Scenes = False,
    keep_duplicates: _Duplicates = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write frames of a video as images, named by time.

    Exit code 0: done, also where the video breaks off after some frames; 1: nothing
    could be done; 2: wrong usage.
    """
    from imagebase.batch.frames import frames as run

    if (every is not None) + (seconds is not None) + scenes > 1:
        refuse("Give one of --every, --seconds and --scenes.")
    with reported_errors(), progress_bar(quiet=quiet) as on_progress:
        summary = run(
            video,
            output,
            every=every,
            seconds=seconds,
            scenes=scenes,
            keep_duplicates=keep_duplicates,
            on_progress=lambda done, total: on_progress("Reading frames", done, total),
        )
    if summary.problem:
        say(summary.problem)
    show(f"{summary.in_words()} {output}")
    if not summary.files:
        raise typer.Exit(FAILED)
