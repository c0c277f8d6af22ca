"""PyTorch is imported in one place only, and nobody who does not train loads it."""

import subprocess
import sys

from tests.test_architecture import CORE, PACKAGE, imported_roots

FREE_OF_TORCH = [
    *("settings", "training_set", "gathering", "advice", "anchors", "batches"),
    *("cfg_text", "progress", "report", "requirement", "schedule", "session"),
    "bundle",
]


def test_only_training_imports_pytorch() -> None:
    importing = {one for one in CORE.values() if "torch" in imported_roots(one)}
    assert importing
    assert {one.parent for one in importing} == {PACKAGE / "training"}


def test_what_the_app_looks_at_needs_no_pytorch() -> None:
    imports = "; ".join(f"import imagebase.training.{one}" for one in FREE_OF_TORCH)
    code = f"import sys; sys.modules['torch'] = None; {imports}; import imagebase.cli"
    subprocess.run([sys.executable, "-c", code], check=True)
