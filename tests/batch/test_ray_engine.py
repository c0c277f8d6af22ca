"""Ray on a cluster of several nodes, which this machine plays."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.cluster_utils import Cluster

from imagebase.batch.parts import FOLDER, parts_in
from imagebase.batch.ray_engine import RayRun, imported_ray
from imagebase.batch.resume import JournalKey
from imagebase.batch.run import RAY, _journal_key, annotate
from imagebase.detection.detection_model import floor_of, load_model
from imagebase.detection.selection_rule import SelectionRule
from imagebase.errors import WorkerError
from imagebase.images.locations import open_location
from imagebase.images.scan import SourceFile, scan_source
from imagebase.settings import PROJECT_ROOT, SAMPLES_FOLDER, Limits, settings
from tests.batch.test_resume import annotate_command, linked_samples
from tests.batch.test_run import PNG, contents_of, folder_of
from tests.conftest import SHARED_DATA
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.s3_server import s3_server

# Ray warns of its own options, and leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STORE = {"object_store_memory": 100_000_000}
FORMATS = ["coco", "csv", "yolo"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[None]:
    """An S3 server with a bucket `images`, in the environment of what starts later."""
    with s3_server("images"):
        yield


@pytest.fixture(scope="module")
def cluster(bucket: None) -> Iterator[Cluster]:
    """A cluster whose head runs no workers, and a node of one core that does."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **STORE},
    )
    cluster.add_node(num_cpus=1, **STORE)
    ray = imported_ray()
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO's 128 photographs (the samples where they are absent), and a bad one."""
    folder = tmp_path_factory.mktemp("photographs") / "in"
    real = SHARED_DATA / "coco_val_dev128" / "images"
    if real.is_dir():
        folder.mkdir()
        for path in real.iterdir():
            (folder / path.name).symlink_to(path)
    else:
        linked_samples(folder, times=3)
    (folder / "000 no image.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that was added, and so runs in a process of its own."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture(scope="module")
def expected(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local engine writes for them."""
    output = tmp_path_factory.mktemp("local") / "out"
    annotate(photographs, output, formats=FORMATS)
    return output


def check_same(output: Path, expected: Path) -> None:
    """Check that label files are equal to the byte, and reports but for the times."""
    reports = [
        json.loads((each / "run.json").read_text()) for each in (output, expected)
    ]
    for report in reports:
        for key in ("seconds", "images_per_second", "load_seconds"):
            del report[key]
        del report["settings"]["engine"]
    assert reports[0] == reports[1]
    ours, theirs = contents_of(output), contents_of(expected)
    assert ours.keys() == theirs.keys()
    assert [n for n in ours if ours[n] != theirs[n] and n != "run.json"] == []


def at(images: int, action: Callable[[], object]) -> Callable[[int, int], None]:
    """Return what acts once as soon as so many images are done."""
    left = [action]

    def on_progress(done: int, total: int) -> None:
        if done >= images and left:
            left.pop()()

    return on_progress


def kill_a_worker(cluster: Cluster) -> None:
    """Kill a process of the cluster that runs the model."""
    raylets = {
        started.process.pid
        for node in cluster.list_all_nodes()
        for started in node.all_processes["raylet"]
    }
    found = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if _parent_of(folder) in raylets
        and b"MapWorker" in (folder / "cmdline").read_bytes()
    ]
    os.kill(found[0], signal.SIGKILL)


def _parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return -1


def test_removed_node_costs_no_result(
    cluster: Cluster, photographs: Path, expected: Path, tmp_path: Path
) -> None:
    other = cluster.add_node(num_cpus=1, **STORE)
    cluster.wait_for_nodes()
    annotate(
        photographs,
        tmp_path / "out",
        formats=FORMATS,
        engine=RAY,
        on_progress=at(20, lambda: cluster.remove_node(other, allow_graceful=False)),
    )
    check_same(tmp_path / "out", expected)


def test_killed_worker_costs_no_result(
    cluster: Cluster, photographs: Path, expected: Path, tmp_path: Path
) -> None:
    annotate(
        photographs,
        tmp_path / "out",
        formats=FORMATS,
        engine=RAY,
        on_progress=at(20, lambda: kill_a_worker(cluster)),
    )
    check_same(tmp_path / "out", expected)


def test_interrupted_run_resumes_with_what_did_not_change(
    cluster: Cluster, tmp_path: Path
) -> None:
    source = linked_samples(tmp_path / "in", times=1)
    output = tmp_path / "out"
    # What a run that was stopped amid its work leaves.
    parts, model = parts_in(output), load_model()
    run = RayRun(model, SelectionRule(), str(source), parts, Limits())
    key = _journal_key(model.detector, floor=floor_of(run.rule))
    parts.begin(key, resume=False)
    run.annotate(list(scan_source(source, Limits()))[:6])
    done = [name for names in parts.names().values() for name in names]
    assert len(done) == 6
    changed, gone = done[:2]
    (source / changed).unlink()
    (source / changed).write_bytes((source / gone).read_bytes())
    (source / gone).unlink()
    # Half of another part: as after a crash of the machine, not of a worker.
    (output / FOLDER / "000777.parquet").write_bytes(b"PAR1")
    resumed = annotate(source, output, engine=RAY)
    assert (resumed.resumed, resumed.images) == (4, 15)
    assert not (output / FOLDER).exists()
    annotate(source, tmp_path / "local")
    check_same(output, tmp_path / "local")


@pytest.mark.long
def test_zip_is_opened_by_each_worker(
    cluster: Cluster, tmp_path: Path, pets: str
) -> None:
    source = linked_samples(tmp_path / "in", times=1)
    archive = shutil.make_archive(str(tmp_path / "in"), "zip", source)
    annotate(archive, tmp_path / "ray", model=pets, engine=RAY)
    annotate(archive, tmp_path / "local", model=pets)
    check_same(tmp_path / "ray", tmp_path / "local")


def test_worker_that_does_not_see_the_images_is_named(
    cluster: Cluster, tmp_path: Path, pets: str
) -> None:
    parts = parts_in(tmp_path)
    parts.begin(JournalKey("", 416, "openvino", "f32", 0.01), resume=False)
    model, nowhere = load_model(pets), tmp_path / "nowhere"
    run = RayRun(model, SelectionRule(0.25, 0.45), str(nowhere), parts, Limits())
    with pytest.raises(WorkerError, match=r"The machine \S+ cannot see .*nowhere"):
        run.annotate([SourceFile("a.jpg", bytes)])


def test_missing_extra_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkerError, match=r'run `pip install "imagebase\[scale\]"`'):
        annotate(SAMPLES_FOLDER, tmp_path / "out", engine=RAY)
    assert not (tmp_path / "out").exists()


def test_images_and_results_are_behind_urls(
    cluster: Cluster, pets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    photographs = open_location("s3://images/photos")
    for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))[:4]:
        photographs.write(f"day/{path.name}", path.read_bytes())
    output = open_location("s3://images/labels")
    seen: list[str] = []

    def on_progress(done: int, total: int) -> None:
        seen.extend(name for name in output.sizes() if name.endswith(".parquet"))

    for place, engine in ((output.url, RAY), (str(tmp_path / "local"), "local")):
        annotate(
            photographs.url, place, model=pets, engine=engine, on_progress=on_progress
        )
    settings.cache_clear()
    assert seen
    assert all(name.startswith(f"{FOLDER}/") for name in seen)
    found = dict(output.read_many(list(output.sizes())))
    here = contents_of(tmp_path / "local")
    assert found.keys() == here.keys()
    assert found["coco/annotations.json"] == here["coco/annotations.json"]


@pytest.mark.long
def test_image_that_kills_its_workers_is_refused(
    cluster: Cluster, pets: str, tmp_path: Path
) -> None:
    source = folder_of(tmp_path / "in", {f"{name}.png": PNG for name in "abc"})
    parts = parts_in(tmp_path / "out")
    parts.begin(JournalKey("", 416, "openvino", "f32", 0.01), resume=False)
    run = RayRun(load_model(pets), SelectionRule(), str(source), parts, Limits())
    files = [SourceFile(f"{name}.png", partial(read_or_die, name)) for name in "abc"]
    done = run.annotate(files)
    assert [refusal.file for refusal in done.refused] == ["b.png"]
    assert [record.file_name for record in done.records] == ["a.png", "c.png"]


def read_or_die(name: str) -> bytes:
    """Return an image; the one in the middle kills who reads it."""
    if name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return PNG


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_command_that_was_stopped_resumes(
    tmp_path: Path, pets: str, end: signal.Signals
) -> None:
    source = linked_samples(tmp_path / "in", times=4)
    model = ("--model", pets, "--engine", "ray")
    command = [*annotate_command(source, tmp_path / "out"), *model]
    stopped = subprocess.Popen(
        command, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, start_new_session=True
    )
    parts = parts_in(tmp_path / "out")
    while sum(map(len, parts.names().values())) < 4 and stopped.poll() is None:
        time.sleep(0.02)
    # Ctrl + C in a terminal goes to all processes of the group.
    (os.killpg if end is signal.SIGINT else os.kill)(stopped.pid, end)
    said = stopped.communicate()[1]
    if end is signal.SIGINT:
        assert stopped.returncode == 130
        assert said.startswith(b"Interrupted. ")
        assert said.count(b"\n") == 1
    done = sum(map(len, parts.names().values()))
    resumed = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    found = re.match(r"64 images, (\d+) of them seen before, ", resumed.stdout)
    assert found is not None
    assert done <= int(found[1]) <= 64
    assert resumed.stderr == ""
    annotate(source, tmp_path / "local", model=pets, formats=["coco", "csv"])
    check_same(tmp_path / "out", tmp_path / "local")


def test_cluster_file_is_one_that_ray_takes() -> None:
    given = yaml.safe_load((PROJECT_ROOT / "docs/cluster/aws.yaml").read_text())
    validate_config(prepare_config(given))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_cluster_that_is_not_there_is_a_sentence(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported_ray(), "is_initialized", lambda: False)
    with pytest.raises(WorkerError, match=rf"Ray at {address} cannot be reached"):
        annotate(SAMPLES_FOLDER, tmp_path, engine=RAY, ray_address=address)
