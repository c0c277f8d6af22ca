"""An ONNX file and perhaps a names file: what it is, and whether it can be used."""

from dataclasses import dataclass, field
from typing import Final

from imagebase.annotation import Size, clean_label
from imagebase.detection.onnx.families import (
    FAMILY_NAMES,
    Adapter,
    OnnxModel,
    adapter_for,
    families_of,
    labels_of,
    possible_adapters,
    read_onnx,
)
from imagebase.detection.onnx.inputs import is_open
from imagebase.detection.validation.darknet_files import check_names, warn_of_duplicates
from imagebase.detection.validation.file_kinds import (
    Findings,
    Upload,
    good,
    warning,
)
from imagebase.errors import AmbiguousModelError, ModelLoadError
from imagebase.settings import Limits
from imagebase.wording import plural

_ONNX_TAG: Final = 0x08
# The file, the graph and the runtime's own copy of the weights.
_COPIES: Final = 3


@dataclass(slots=True)
class CheckedOnnx:
    """The result of the check.

    families: the ways it may be read, the likeliest first; family: the one it is read
    by; None while a person has to say which. asks_size: whether images of any size go
    in; has_size: whether the file says which all the same.
    """

    findings: Findings = field(default_factory=Findings)
    labels: tuple[str, ...] = ()
    input_size: Size | None = None
    families: tuple[str, ...] = ()
    family: str | None = None
    asks_size: bool = False
    has_size: bool = True
    licence: str = ""
    source: str = ""


def check_onnx(
    onnx: Upload,
    names: Upload | None,
    limits: Limits,
    *,
    family: str | None,
    input_size: int | None,
) -> CheckedOnnx:
    """Validate an ONNX model without running it.

    family: chosen by hand; None takes the file's.
    input_size: side of its images, chosen by hand; None takes the file's.
    """
    checked = CheckedOnnx()
    needs = _COPIES * len(onnx.data)
    if needs > limits.max_model_memory_bytes:
        checked.findings.bad(
            f"{onnx.name} would need {needs / 1e9:.1f} GB of memory; "
            f"{limits.max_model_memory_bytes / 1e9:.1f} GB are allowed here."
        )
        return checked
    try:
        model = read_onnx(onnx.data)
        checked.licence = model.metadata.get("license", "")
        checked.source = model.metadata.get("description", "")
        named = _named(model, names)
        checked.asks_size = is_open(model)
        possible = possible_adapters(model, labels=named, side=input_size)
        checked.families = families_of(possible)
        adapter = adapter_for(model, labels=named, family=family, side=input_size)
        _check_size(adapter, input_size)
    except AmbiguousModelError as error:
        _ask(onnx, error, checked)
        return checked
    except ModelLoadError as error:
        checked.findings.bad(_sentence(onnx, error))
        return checked
    checked.family, checked.input_size = adapter.family, adapter.net_size
    checked.has_size = not checked.asks_size or input_size is None
    words = _adapter_in_words(onnx.name, adapter)
    is_sure = not adapter.doubt or family is not None
    finding = good(words) if is_sure else warning(f"{words} But {adapter.doubt}")
    checked.findings.append(finding)
    checked.labels = _labels(onnx, model, names, adapter, checked.findings)
    return checked


def _check_size(adapter: Adapter, input_size: int | None) -> None:
    if input_size and adapter.net_size != (input_size, input_size):
        width, height = adapter.net_size
        raise ModelLoadError(
            f"its input is fixed at {width}×{height}; leave the input size out."
        )


def _named(model: OnnxModel, names: Upload | None) -> int | None:
    """Return how many labels are named, if that is known already."""
    if names is None:
        return len(labels_of(model)) or None
    silent = Findings()
    labels = check_names(names, None, silent)
    return None if silent.is_bad else len(labels)


def _ask(onnx: Upload, error: AmbiguousModelError, checked: CheckedOnnx) -> None:
    checked.families = error.families
    ways = ", or ".join(FAMILY_NAMES[family] for family in error.families)
    checked.findings.bad(
        f"{onnx.name} can be read in more than one way: as {ways}. Say which it "
        "is, or add a names file with a label for each class."
    )


def _sentence(onnx: Upload, error: ModelLoadError) -> str:
    text = str(error)
    is_cut = "not an ONNX model" in text and onnx.data[:1] == bytes([_ONNX_TAG])
    if is_cut:
        return (
            f"{onnx.name} begins as an ONNX model and breaks off: a copy or a download "
            "was cut off. Get it again."
        )
    return f"{onnx.name}: {text}"


def _adapter_in_words(name: str, adapter: Adapter) -> str:
    size = adapter.net_size
    classes = f", {adapter.classes} classes" if adapter.classes else ""
    return (
        f"{name}: {FAMILY_NAMES[adapter.family]}, {size.width} × {size.height} pixels"
        f"{classes}."
    )


def _is_label(name: str) -> bool:
    try:
        return bool(clean_label(name))
    except ValueError:
        return False


def _labels(
    onnx: Upload,
    model: OnnxModel,
    names: Upload | None,
    adapter: Adapter,
    findings: Findings,
) -> tuple[str, ...]:
    inside = labels_of(model)
    if names is not None:
        labels = check_names(names, adapter.classes, findings)
        if inside and labels and inside != labels:
            findings.warning(
                f"{names.name} and {onnx.name} name the classes differently; "
                f"{names.name} counts."
            )
        return labels
    if not inside:
        count = adapter.classes
        many = plural(count, "label") if count else "its labels"
        findings.bad(
            f"{onnx.name} does not name its labels; drop a names file with it: "
            f"{many}, one a line, in the order of its training."
        )
        return ()
    if adapter.classes not in {None, len(inside)}:
        findings.bad(
            f"{onnx.name} names {plural(len(inside), 'label')} and has "
            f"{adapter.classes} classes; drop a names file with it, one label a "
            "line."
        )
        return ()
    blank = [number for number, label in enumerate(inside) if not _is_label(label)]
    if blank:
        findings.bad(
            f"{onnx.name} has no label for class {blank[0]}; drop a names file with "
            "it, one label a line."
        )
        return ()
    findings.good(f"{onnx.name} names its {plural(len(inside), 'label')} itself.")
    warn_of_duplicates(inside, findings)
    return inside
