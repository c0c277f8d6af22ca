"""Install what training needs into the environment of this process."""

import contextlib
from typing import Any, Final

from imagebase.jobs.runner import JobContext
from imagebase.training.checks import has_torch
from imagebase.training.install import UNPACKED_MB, InstallCancelledError, install

KIND: Final = "install"


def install_training(context: JobContext) -> dict[str, Any] | None:
    """Install the CPU build of PyTorch; None if cancelled.

    Only where the server is the visitor's own: see `identity.is_own_server`.

    Raises:
        TrainingError: it could not be installed.
    """
    if has_torch():
        return {}

    def report(megabytes: int) -> None:
        done = min(megabytes, UNPACKED_MB)
        words = f"Downloading and unpacking PyTorch: {done} of about {UNPACKED_MB} MB"
        context.progress(done, UNPACKED_MB, words)

    report(0)
    with contextlib.suppress(InstallCancelledError):
        version = install(on_progress=report, should_stop=lambda: context.cancelled)
        context.complete()
        return {"version": version}
    return None
