"""Installing PyTorch with uv, into real environments; the packages are stand-ins."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from imagebase.errors import TrainingError
from imagebase.training import install as module
from imagebase.training.install import InstallCancelledError, commands, install

# A uv that hands what it is asked for to pip.
_UV_MAIN = """
import subprocess, sys
words = [word for word in sys.argv[1:] if not word.startswith("--torch-backend")]
for option in ("--python", "--cache-dir"):
    place = words.index(option)
    del words[place : place + 2]
sys.exit(subprocess.call([sys.executable, "-m", *words]))
"""


def make_wheel(folder: Path, name: str, version: str, **modules: str) -> None:
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for module_name, text in modules.items():
            wheel.writestr(f"{name}/{module_name}.py", text)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{about}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tags)
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that pip installs from; uv is in it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "uv", "0.9.0", __init__="", __main__=_UV_MAIN)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr("shutil.which", lambda name: None)
    return folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip alone."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder


@pytest.fixture
def python(fresh: Path) -> str:
    return str(fresh / "bin" / "python")


@pytest.mark.skipif(sys.platform == "win32", reason="environments have other folders")
def test_installs_uv_and_then_torch(python: str, wheels: Path, fresh: Path) -> None:
    with pytest.raises(TrainingError, match="could not be downloaded"):
        install(python)
    make_wheel(wheels, "torch", "2.13.0", __init__="__version__ = '2.13.0'")
    seen: list[int] = []
    with pytest.raises(InstallCancelledError):
        install(python, should_stop=lambda: True)
    assert install(python, on_progress=seen.append) == "2.13.0"
    assert seen
    assert list(fresh.glob(".imagebase-*")) == []


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("error: No space left on device (os error 28)", "the disk is full"),
        ("error: externally managed", "cannot be changed"),
        ("error: Failed to fetch x\n  cause: dns error", "could not be downloaded"),
        ("python: No module named pip", "neither uv nor pip"),
        ("warning: odd\nerror: it is Tuesday", "installed: it is Tuesday."),
        ("", "uv failed"),
    ],
)
def test_failures_are_one_sentence(output: str, reason: str) -> None:
    assert reason in str(module._failure(output))


def test_full_disk_is_said_before_anything_is_downloaded(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda folder: 1_000)
    with pytest.raises(TrainingError, match="disk is full"):
        install(python)


def test_environment_that_cannot_be_changed_is_refused(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(TrainingError, match="cannot be changed"):
        install(python)


def test_cpu_wheel_at_hand_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = module._Environment(tmp_path, tmp_path, (3, 11))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    (tmp_path / "torch-2.13.0-cp311-cp311-linux_x86_64.whl").touch()
    assert module._wanted(where) == ["torch>=2.5", "--torch-backend=cpu"]
    older = tmp_path / "torch-2.9.1+cpu-cp311-cp311-linux_x86_64.whl"
    wheel = tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"
    older.touch()
    wheel.touch()
    assert module._wanted(where) == [str(wheel)]


@pytest.mark.skipif(sys.platform == "win32", reason="quoted for another shell")
def test_commands_are_for_this_interpreter_and_quoted() -> None:
    assert commands("auto", python="/my env/python").splitlines() == [
        "'/my env/python' -m pip install uv",
        "'/my env/python' -m uv pip install torch --torch-backend=auto",
    ]
