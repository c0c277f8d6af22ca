"""Validate an uploaded model: complete, supported, and its faults by name."""

import re
import shutil
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Final

from imagebase.annotation import Size, utc_now
from imagebase.detection.library import TAUGHT as TAUGHT_FILE
from imagebase.detection.library import ModelLibrary
from imagebase.detection.model_card import CARD_FILE, KINDS, TAUGHT, ModelCard
from imagebase.detection.model_files import (
    CFG,
    NAMES,
    WEIGHTS,
    Model,
    model_in_folder,
    names_beside,
    sha256_of,
)
from imagebase.detection.onnx import classifier
from imagebase.detection.onnx.darknet_onnx import FAMILY as DARKNET
from imagebase.detection.onnx.families import FAMILY_NAMES
from imagebase.detection.onnx.inputs import with_size
from imagebase.detection.taught.feature_net import feature_net
from imagebase.detection.taught.model import TaughtModel
from imagebase.detection.validation import darknet_files, onnx_file
from imagebase.detection.validation.dry_run import SAMPLE, DryRun, dry_run
from imagebase.detection.validation.file_kinds import (
    Findings,
    Level,
    ModelFinding,
    ModelPart,
    SortedUploads,
    Upload,
    bad,
    good,
    missing_parts,
    sort_uploads,
    warning,
)
from imagebase.errors import LimitError, MisreadModelError, ModelLoadError
from imagebase.settings import Limits
from imagebase.wording import plural

__all__ = [
    "Draft",
    "DryRun",
    "Level",
    "ModelFinding",
    "Validation",
    "add_to_library",
    "dry_run",
    "dry_run_or_reread",
    "validate_files",
    "validate_upload",
]

ONNX: Final = "model.onnx"
# These say nothing of what a model is for.
_MEANINGLESS: Final = frozenset({"obj", "model", "best", "last", "weights", "final"})


class DraftFolder:
    """A temporary folder that is deleted with its last reference."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="imagebase-model-"))
        self._finalizer = weakref.finalize(
            self, shutil.rmtree, self.path, ignore_errors=True
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """An upload without faults, in a temporary folder that goes when this goes.

    model: its files there. asked: whether its family was chosen by hand.
    """

    folder: DraftFolder
    model: Model
    family: str
    asked: bool
    input_size: Size
    sha256: str
    byte_count: int
    suggested_name: str
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class Validation:
    """Findings on an upload; draft is None where it cannot be used.

    families: the ways an ONNX model's outputs can be read, the likeliest first.
    asks_size: whether an ONNX model takes images of any size, so that one is chosen.
    """

    findings: tuple[ModelFinding, ...]
    families: tuple[str, ...] = ()
    draft: Draft | None = None
    asks_size: bool = False

    @property
    def is_usable(self) -> bool:
        return self.draft is not None


def validate_upload(
    uploads: Iterable[tuple[str, bytes]],
    *,
    limits: Limits,
    family: str | None = None,
    input_size: int | None = None,
) -> Validation:
    """Validate uploaded files; nothing is run or kept.

    Args:
        uploads: name and content of each file; zips are unpacked.
        limits: on bytes and on the memory that a model may need.
        family: chosen by hand for an ONNX model; None takes the file's.
        input_size: side of its images, chosen by hand where the model leaves it open;
            None takes its metadata.
    """
    files = sort_uploads(uploads, limits)
    if files.findings.is_bad:
        return Validation(tuple(files.findings))
    onnx, taught = files.one(ModelPart.ONNX), files.one(ModelPart.TAUGHT)
    darknet = [
        kind for kind in files.parts if kind in {ModelPart.CFG, ModelPart.WEIGHTS}
    ]
    if onnx and darknet:
        both = bad("There is an ONNX file and a Darknet model; drop one at a time.")
        return Validation((*files.findings, both))
    if taught and (onnx or darknet):
        both = bad("There is a taught model and another one; drop one at a time.")
        return Validation((*files.findings, both))
    if taught:
        return _examine_taught(taught, files)
    if onnx:
        return _examine_onnx(onnx, files, limits, family, input_size)
    return _examine_darknet(files, limits)


def validate_files(
    paths: Sequence[Path],
    *,
    limits: Limits,
    family: str | None = None,
    input_size: int | None = None,
) -> Validation:
    """Validate files, or those in a folder.

    A names file next to a single .onnx file belongs to it.

    Raises:
        OSError: one cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files += [file for file in inside if file.is_file() and file.name != CARD_FILE]
    if len(paths) == 1 and paths[0].suffix.lower() == ".onnx":
        files += [name for name in names_beside(paths[0]) if name not in files][:1]
    uploads = ((file.name, file.read_bytes()) for file in files)
    return validate_upload(uploads, limits=limits, family=family, input_size=input_size)


def dry_run_or_reread(
    diagnosis: Validation,
    again: Callable[[str], Validation] | None,
    *,
    image: Path = SAMPLE,
    limits: Limits | None = None,
) -> tuple[Validation, DryRun]:
    """Return how a dry run went, and the diagnosis that it was made by.

    Numbers that are another family's tell which, so such a model is examined and tried
    once more as of that family, and a warning says so.

    Args:
        diagnosis: with a draft.
        again: validates the same files as another family; None if one was chosen.
        image, limits: as in `dry_run`.

    Raises:
        ModelLoadError: as in `dry_run`.
    """
    assert diagnosis.draft is not None
    try:
        return diagnosis, dry_run(diagnosis.draft.model, image=image, limits=limits)
    except MisreadModelError as error:
        other = again(error.family) if again else diagnosis
        if again is None or other.draft is None:
            raise
        family = error.family
    tried = dry_run(other.draft.model, image=image, limits=limits)
    note = warning(f"Its outputs match {FAMILY_NAMES[family]}, so it is read as that.")
    families = tuple(dict.fromkeys((*diagnosis.families, family)))
    findings = (*other.findings, note)
    return replace(other, findings=findings, families=families), tried


def _examine_darknet(files: SortedUploads, limits: Limits) -> Validation:
    cfg, weights = files.one(ModelPart.CFG), files.one(ModelPart.WEIGHTS)
    names = files.one(ModelPart.NAMES)
    findings = Findings(files.findings)
    missing = missing_parts(list(files.parts))
    if missing:
        findings.bad(
            f"A Darknet model needs {' and '.join(missing)} too; drop all three "
            "files together. An ONNX model is one file."
        )
    if cfg is None:
        return Validation(tuple(findings))
    checked = darknet_files.check_darknet(cfg, weights, names, limits)
    findings += checked.findings
    if findings.is_bad or weights is None or checked.input_size is None:
        return Validation(tuple(findings))
    named = "".join(f"{label}\n" for label in checked.labels).encode()
    content = {CFG: checked.cfg, WEIGHTS: weights.data, NAMES: named}
    draft = _draft(
        content,
        family=DARKNET,
        asked=False,
        input_size=checked.input_size,
        suggested_name=_suggested_name([weights, cfg]),
        licence=files.licence,
        source="",
    )
    return Validation(tuple(findings), draft=draft)


def _examine_onnx(
    onnx: Upload,
    files: SortedUploads,
    limits: Limits,
    family: str | None,
    input_size: int | None,
) -> Validation:
    names = files.one(ModelPart.NAMES)
    checked = onnx_file.check_onnx(
        onnx, names, limits, family=family, input_size=input_size
    )
    findings = (*files.findings, *checked.findings)
    if checked.findings.is_bad or not checked.family or not checked.input_size:
        return Validation(findings, checked.families, asks_size=checked.asks_size)
    named = "".join(f"{label}\n" for label in checked.labels).encode()
    # A size chosen by hand is stored in the file, as Ultralytics does.
    size = checked.input_size
    data = onnx.data if checked.has_size else with_size(onnx.data, size)
    draft = _draft(
        {ONNX: data, NAMES: named},
        family=checked.family,
        asked=family is not None or checked.family in classifier.FAMILIES,
        input_size=size,
        suggested_name=_suggested_name([onnx]),
        licence=files.licence or checked.licence,
        source=checked.source,
    )
    return Validation(findings, checked.families, draft, checked.asks_size)


def _examine_taught(taught: Upload, files: SortedUploads) -> Validation:
    try:
        model = TaughtModel.from_bytes(taught.data, name=taught.name)
    except ModelLoadError as error:
        return Validation((*files.findings, bad(str(error))))
    words = good(
        f"{taught.name}: {KINDS[TAUGHT]} ({plural(model.examples, 'image')}), "
        f"{plural(len(model.labels), 'label')}."
    )
    draft = _draft(
        {TAUGHT_FILE: taught.data},
        family=TAUGHT,
        asked=False,
        input_size=feature_net().net_size,
        suggested_name=_suggested_name([taught]),
        licence=files.licence,
        source="",
    )
    return Validation((*files.findings, words), draft=draft)


def _draft(
    content: dict[str, bytes],
    *,
    family: str,
    asked: bool,
    input_size: Size,
    suggested_name: str,
    licence: str,
    source: str,
) -> Draft:
    folder = DraftFolder()
    for file_name, data in content.items():
        (folder.path / file_name).write_bytes(data)
    model = model_in_folder(folder.path)
    graph = model.graph.read_bytes()
    chosen = family if asked else None
    return Draft(
        folder=folder,
        model=replace(model, name="model", family=chosen),
        family=family,
        asked=asked,
        input_size=input_size,
        sha256=sha256_of(graph, content.get(WEIGHTS), chosen),
        byte_count=sum(map(len, content.values())),
        suggested_name=suggested_name,
        licence=licence,
        source=source,
    )


def _suggested_name(files: Sequence[Upload]) -> str:
    for file in files:
        stem = PurePosixPath(file.name).stem
        stem = re.sub(r"_(final|best|last|\d+)$", "", stem)
        plain = re.sub(r"[^\w. -]+", "-", stem).strip(". -_")[:60]
        if plain and plain.lower() not in _MEANINGLESS:
            return plain
    return "My model"


def add_to_library(
    draft: Draft,
    library: ModelLibrary,
    *,
    name: str,
    who: str,
    trial: DryRun | None,
    limits: Limits,
    description: str = "",
    source: str = "",
    licence: str = "",
) -> Model:
    """Add a validated upload to a library and return the model.

    Args:
        draft: from `validate_upload`.
        library: of its owner.
        name: what it is to be called.
        who: adds it.
        trial: its dry run; None where there was none.
        limits: on how many models there may be.
        description, source, licence: in the words of who adds it.

    Raises:
        ModelLoadError: the name cannot be used, or the disk refused.
        LimitError: there are as many models as are allowed.
    """
    if len(library.names()) >= limits.max_models:
        raise LimitError(
            f"There are {limits.max_models} models of yours, the most allowed; "
            "delete one and add this again."
        )
    files = {path.name: path for path in draft.folder.path.iterdir()}
    card = ModelCard(
        name=name,
        identity=name,
        family=draft.family,
        input_size=draft.input_size,
        labels=draft.model.labels,
        sha256=draft.sha256,
        byte_count=draft.byte_count,
        added_by=who,
        added_at=utc_now(),
        asked=draft.asked,
        description=description,
        source=source or draft.source,
        licence=licence or draft.licence,
        milliseconds=trial.milliseconds if trial else None,
    )
    return library.add(files, card)
