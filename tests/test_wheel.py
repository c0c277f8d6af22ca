"""The wheel: built from the tracked files, installed, and used from another folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions, requires
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagebase import __version__
from imagebase.settings import PROJECT_ROOT, find_project
from tests.cli.test_serve import LOOPBACK, free_port, status_of
from tests.test_architecture import MODULES, imported_roots

# Where libraries of its own are installed, all of them are downloaded.
pytestmark = pytest.mark.timeout(900)

BUNDLED = ("pages", "samples", "weights", "notebooks")
# Files of these names in the folder where a command is run must not be imported by it.
TRAPS = ("random.py", "streamlit.py", "imagebase.py", "app.py")


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel, and the folder its commands are run in."""

    scripts: Path
    folder: Path
    environ: dict[str, str]

    def start(self, *command: str, output: int | IO[str]) -> "subprocess.Popen[str]":
        program, *arguments = command
        return subprocess.Popen(
            [str(self.scripts / program), *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> str:
        """Return what a command printed; it fails unless the command ends well."""
        process = self.start(*command, output=subprocess.PIPE)
        printed = process.communicate(timeout=120)[0]
        assert process.returncode == 0, printed
        return printed


def tracked_files() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("this is no git checkout, so nobody knows which files belong to it")
    names = listing.stdout.decode().rstrip("\0").split("\0")
    return [name for name in names if (PROJECT_ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the project, which holds what git knows and no more."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT_ROOT / name, source / name)
    wheels = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(source))
    (path,) = wheels.iterdir()
    return path


@pytest.fixture(
    scope="module",
    params=["these-libraries", pytest.param("own-libraries", marks=pytest.mark.long)],
)
def installed(
    request: pytest.FixtureRequest,
    wheel: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    """The wheel in an empty environment.

    It has libraries of its own, or borrows those of the tests, which takes no time.
    """
    base = tmp_path_factory.mktemp("environment")
    venv.create(base, symlinks=os.name != "nt")
    places = {"base": str(base), "platbase": str(base)}
    borrows = request.param == "these-libraries"
    pip(
        *("--python", str(base), "install", str(wheel)),
        *(["--no-deps"] if borrows else []),
    )
    if borrows:
        # A line in a .pth file comes after the environment's own packages.
        own = Path(sysconfig.get_path("purelib", "venv", places))
        theirs = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (own / "theirs.pth").write_text("\n".join(sorted(theirs)))
    folder = tmp_path_factory.mktemp("elsewhere")
    for trap in TRAPS:
        (folder / trap).write_text("raise SystemExit('the wrong file was imported')")
    hidden = ("IMAGEBASE_", "PYTHON", "STREAMLIT_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environ["IMAGEBASE_HOME"] = "home"  # a relative one is below the folder
    environ["IMAGEBASE_MODE"] = "team"
    scripts = Path(sysconfig.get_path("scripts", "venv", places))
    return Installed(scripts, folder, environ)


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_wheel_holds_every_file_that_runs(wheel: Path) -> None:
    expected = {"imagebase/bundled/app.py", "imagebase/bundled/.streamlit/config.toml"}
    for name in tracked_files():
        if name.startswith("imagebase/"):
            expected.add(name)
        elif name.startswith(tuple(f"{folder}/" for folder in BUNDLED)):
            expected.add(f"imagebase/bundled/{name}")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_installed_command_knows_its_version(installed: Installed) -> None:
    assert installed.run("imagebase", "--version") == f"imagebase {__version__}\n"


def test_installed_command_lists_the_models(installed: Installed) -> None:
    assert "yolov4-tiny" in installed.run("imagebase", "models", "list")


def test_installed_command_annotates_a_photograph(installed: Installed) -> None:
    photograph = installed.folder / "kitchen.jpg"
    shutil.copyfile(PROJECT_ROOT / "samples" / photograph.name, photograph)
    installed.run("imagebase", "annotate", photograph.name, "--output", "labels")
    written = installed.folder / "labels" / "coco" / "annotations.json"
    document = json.loads(written.read_text(encoding="utf-8"))
    assert [image["file_name"] for image in document["images"]] == [photograph.name]
    assert document["annotations"]


def test_installed_command_checks_a_model(installed: Installed) -> None:
    """It does so in a process of its own, which has to find the package too."""
    model = installed.folder / "model"
    shutil.copytree(PROJECT_ROOT / "weights" / "yolo-fastest-1.1", model)
    assert "80 labels" in installed.run("imagebase", "models", "check", str(model))


def test_installed_app_draws_its_first_page(installed: Installed) -> None:
    code = (
        "from streamlit.testing.v1 import AppTest;"
        "from imagebase.settings import PROJECT_ROOT;"
        "app = AppTest.from_file(PROJECT_ROOT / 'app.py', default_timeout=60).run();"
        "print(len(app.exception), [one.label for one in app.selectbox])"
    )
    printed = installed.run("python", "-P", "-c", code)
    assert printed.splitlines()[-1].startswith("0 ['Dataset'")


@pytest.fixture
def served(installed: Installed, tmp_path: Path) -> Iterator[Path]:
    """What the app printed from its start until its health was asked for."""
    port, printed = free_port(), tmp_path / "printed.txt"
    with printed.open("w") as file:
        command = ("imagebase", "serve", "--headless", "--port", str(port))
        process = installed.start(*command, output=file)
        try:
            give_up = time.monotonic() + 120
            while status_of(port) != 200:
                assert process.poll() is None, printed.read_text()
                assert time.monotonic() < give_up, printed.read_text()
                time.sleep(0.1)
            while "Open: " not in printed.read_text():
                assert time.monotonic() < give_up, printed.read_text()
                time.sleep(0.1)
            yield printed
        finally:
            process.terminate()
            process.wait(30)


def test_installed_app_is_served_with_its_configuration(
    installed: Installed, served: Path
) -> None:
    text = served.read_text()
    assert f"Open: http://{LOOPBACK}:" in text
    assert f"Data: {installed.folder / 'home'}" in text
    # .streamlit/config.toml has that turned off.
    assert "You can now view your Streamlit app" not in text


def test_project_is_found_in_a_checkout_and_in_a_wheel(tmp_path: Path) -> None:
    package = tmp_path / "imagebase"
    package.mkdir()
    assert find_project(package) == tmp_path
    (package / "bundled").mkdir()
    assert find_project(package) == package / "bundled"


def lines_of(name: str) -> list[str]:
    """The requirements in a file, without comments and references to others."""
    lines = (PROJECT_ROOT / name).read_text(encoding="utf-8").splitlines()
    texts = [line.partition("#")[0].strip() for line in lines]
    return [text for text in texts if text and not text.startswith("-r")]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    text = (PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def names_of(texts: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_every_library_that_is_imported_is_asked_for(project: dict[str, Any]) -> None:
    """It is a dependency, or comes with one, or an extra brings it."""
    declared = names_of(project["dependencies"])
    brought = {n for name in declared for n in names_of(requires(name) or [])}
    extras = names_of(chain(*project["optional-dependencies"].values()))
    distributions = packages_distributions()
    imported = set().union(*map(imported_roots, [PROJECT_ROOT / "app.py", *MODULES]))
    missing = {
        root
        for root in imported - sys.stdlib_module_names - {"imagebase"}
        if not (declared | brought | extras)
        & set(map(canonicalize_name, distributions.get(root, [root])))
    }
    assert {"numpy", "torch"} <= imported
    assert missing == set()


def test_requirements_are_those_of_the_package_and_postgres(
    project: dict[str, Any],
) -> None:
    wanted = project["dependencies"] + project["optional-dependencies"]["postgres"]
    assert sorted(lines_of("requirements.txt")) == sorted(wanted)


def locked() -> dict[str, list[Requirement]]:
    """The packages of the lock file: one or, by Python version, more lines of each."""
    text = (PROJECT_ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = text.replace("\\\n", " ").splitlines()
    found: dict[str, list[Requirement]] = {}
    for entry in entries:
        if entry and entry.lstrip()[0] != "#":
            line, *hashes = entry.split("--hash=sha256:")
            assert hashes, line
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(
                requirement
            )
    return found


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_lock_file_has_one_allowed_version_of_all_that_is_required(python: str) -> None:
    found, linux = locked(), {"python_version": python, "sys_platform": "linux"}
    linux["python_full_version"] = f"{python}.0"
    for text in lines_of("requirements.txt"):
        wanted = Requirement(text)
        (exact,) = [
            one
            for one in found[canonicalize_name(wanted.name)]
            if one.marker is None or one.marker.evaluate(linux)
        ]
        (version,) = [one.version for one in exact.specifier]
        assert version in wanted.specifier, f"run `make lock`: {exact}, not {wanted}"


def test_lock_file_names_no_host() -> None:
    text = (PROJECT_ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text
    assert len(locked()) > 50


def test_pytorch_of_the_tests_is_one_that_the_extra_allows(
    project: dict[str, Any],
) -> None:
    (text,) = project["optional-dependencies"]["train"]
    (pinned,) = lines_of("requirements-train.txt")
    version = pinned.removeprefix("torch==")
    assert version in Requirement(text).specifier


def test_extra_all_is_all_of_the_others(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    (text,) = extras["all"]
    assert Requirement(text).extras == extras.keys() - {"all"}
