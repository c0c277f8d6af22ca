"""The models there are: those that came along, one's own, and any that a path names."""

from pathlib import Path

from imagebase.detection.library import library_of
from imagebase.detection.model_files import (
    BUNDLED,
    CFG,
    NAMES,
    WEIGHTS,
    Model,
    model_in_file,
    model_in_folder,
    read_names,
)
from imagebase.errors import UnknownModelError
from imagebase.settings import TEAM_OWNER, WEIGHTS_FOLDER

__all__ = ["Model", "all_models", "bundled_models", "find_model", "read_names"]


def bundled_models() -> list[Model]:
    """Return the models that came along and are there, the default first."""
    folders = [WEIGHTS_FOLDER / name for name in BUNDLED]
    return [model_in_folder(folder) for folder in folders if folder.is_dir()]


def all_models(owner_id: str = TEAM_OWNER) -> list[Model]:
    """Return the models that came along, then those this owner added, by name."""
    return [*bundled_models(), *library_of(owner_id).models()]


def find_model(name_or_path: str, *, owner_id: str = TEAM_OWNER) -> Model:
    """Return a model by name, by its folder, or by its .onnx file.

    Args:
        name_or_path: of one that came along or that this owner added; a name that was
            changed is still known.
        owner_id: whose own models are looked at; nobody sees another owner's.

    Raises:
        UnknownModelError: there is none; the message lists the known names.
        ModelLoadError: there is one, and a part of it is missing or unreadable.
    """
    if name_or_path in BUNDLED and (WEIGHTS_FOLDER / name_or_path).is_dir():
        return model_in_folder(WEIGHTS_FOLDER / name_or_path)
    own = library_of(owner_id).find(name_or_path)
    if own is not None:
        return own
    path = Path(name_or_path).expanduser() if name_or_path else WEIGHTS_FOLDER / "-"
    if path.is_dir():
        return model_in_folder(path)
    if path.is_file() and path.suffix.lower() == ".onnx":
        return model_in_file(path, name=path.stem)
    known = ", ".join(model.name for model in all_models(owner_id))
    raise UnknownModelError(
        f"There is no model {name_or_path!r}; give one of {known}, a folder with "
        f"{CFG}, {WEIGHTS} and {NAMES}, or an .onnx file."
    )
