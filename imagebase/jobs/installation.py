"""Install what training needs into the environment of this process."""

import contextlib
import platform
import sys
from typing import Any, Final

from imagebase.errors import TrainingError
from imagebase.jobs.runner import JobContext
from imagebase.training.checks import has_torch
from imagebase.training.install import UNPACKED_MB, InstallCancelledError, install

KIND: Final = "install"


def install_parameters() -> dict[str, Any]:
    """Return the parameters of a job that installs into this environment, no other.

    Servers that share a database take each other's jobs.
    """
    return {"environment": f"{platform.node()}:{sys.prefix}"}


def install_training(context: JobContext) -> dict[str, Any] | None:
    """Install the CPU build of PyTorch; None if cancelled.

    Only where the server is the visitor's own: see `identity.is_own_server`.
    Parameters of the job: those of `install_parameters`.

    Raises:
        TrainingError: it could not be installed.
    """
    if context.parameters != install_parameters():
        raise TrainingError(
            "Another server that shares the database took this job, and installed "
            "nothing. Install PyTorch by the commands below."
        )
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
