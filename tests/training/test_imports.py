"""PyTorch is imported in one place only, and nobody who does not train loads it."""

import subprocess
import sys

from tests.test_architecture import CORE, NAMES, PACKAGE, imported_roots

TORCH = {"loop", "loss", "network", "result", "validate"}


def test_only_training_imports_pytorch() -> None:
    importing = {path for path in CORE.values() if "torch" in imported_roots(path)}
    assert importing
    assert {path.parent for path in importing} == {PACKAGE / "training"}


def test_nothing_else_needs_pytorch() -> None:
    """The app and its pages start where it is not installed; so do all commands."""
    names = [
        name
        for name in NAMES
        if name not in {f"imagebase.training.{module}" for module in TORCH}
        and not name.startswith("imagebase.store.migrations")
        and not name.endswith("__main__")
    ]
    imports = "".join(f"import {name}\n" for name in names)
    code = f"import sys\nsys.modules['torch'] = None\n{imports}"
    subprocess.run([sys.executable, "-c", code], check=True)
