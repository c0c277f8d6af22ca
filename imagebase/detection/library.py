"""Find, add, rename, delete and download models: bundled ones and each owner's own."""

import contextlib
import hashlib
import io
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from imagebase.annotation import clean_text, new_id
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.model_card import (
    CARD_FILE,
    ModelCard,
    Score,
    card_of,
    read_card,
)
from imagebase.detection.model_files import (
    BUNDLED,
    CFG,
    CONVERTED,
    NAMES,
    REPORTS,
    WEIGHTS,
    Model,
    model_in_file,
    model_in_folder,
)
from imagebase.detection.taught.model import SUFFIX
from imagebase.errors import ImageBaseError, ModelLoadError, UnknownModelError
from imagebase.settings import TEAM_OWNER, WEIGHTS_FOLDER, settings

MAX_NAME_LENGTH: Final = 60
MAX_TEXT_LENGTH: Final = 20_000
LICENCE: Final = "LICENCE.txt"
TAUGHT: Final = f"taught{SUFFIX}"
_DRAFT: Final = ".draft-"
# Windows reads these as devices, and shells and paths as something else; the last
# three say how a model is evaluated.
_NOT_IN_NAMES: Final = frozenset('<>:"/\\|?*@&+')

_log: Final = logging.getLogger(__name__)


def bundled_models() -> list[Model]:
    """Return the bundled models that are installed, the default first."""
    folders = [WEIGHTS_FOLDER / name for name in BUNDLED]
    return [model_in_folder(folder) for folder in folders if folder.is_dir()]


def all_models(owner_id: str = TEAM_OWNER) -> list[Model]:
    """Return the bundled models, then those this owner added, by name.

    They find boxes; `classifiers` has those that propose tags.
    """
    own = library_of(owner_id).models()
    return [*bundled_models(), *(model for model in own if not model.is_classifier)]


def classifiers(owner_id: str = TEAM_OWNER) -> list[Model]:
    """Return the models this owner added that propose tags for images, by name."""
    own = library_of(owner_id).models()
    return [model for model in own if model.is_classifier]


def find_model(name_or_path: str, *, owner_id: str = TEAM_OWNER) -> Model:
    """Return a model by name, by its folder, or by its .onnx or .npz file.

    Args:
        name_or_path: a bundled model or one that this owner added; former names
            work too.
        owner_id: whose added models are searched; they are private to their owner.

    Raises:
        UnknownModelError: there is none; the message lists the known names.
        ModelLoadError: there is one, and a part of it is missing or unreadable.
    """
    named = _named_model(name_or_path, owner_id)
    if named is not None:
        return named
    path = Path(name_or_path).expanduser() if name_or_path else WEIGHTS_FOLDER / "-"
    if path.is_dir():
        return model_in_folder(path)
    if path.is_file() and path.suffix.lower() in {".onnx", SUFFIX}:
        return model_in_file(path, name=path.stem)
    known = ", ".join(model.name for model in all_models(owner_id))
    raise UnknownModelError(
        f"There is no model {name_or_path!r}; give one of {known}, a folder with "
        f"{CFG}, {WEIGHTS} and {NAMES}, an .onnx file, or a taught model's .npz file."
    )


def registered_model(name: str, *, owner_id: str) -> Model:
    """Return a model by name, for a name that a browser sent: no path leads to one.

    Args:
        name: a bundled model or one that this owner added; former names work too.
        owner_id: whose added models are searched; they are private to their owner.

    Raises:
        UnknownModelError: there is none, whatever files there may be.
        ModelLoadError: there is one, and a part of it is missing or unreadable.
    """
    model = _named_model(name, owner_id)
    if model is None:
        known = ", ".join(model.name for model in all_models(owner_id))
        raise UnknownModelError(
            f"There is no model {name[:MAX_NAME_LENGTH]!r}; choose one of {known}."
        )
    return model


def _named_model(name: str, owner_id: str) -> Model | None:
    if name in BUNDLED and (WEIGHTS_FOLDER / name).is_dir():
        return model_in_folder(WEIGHTS_FOLDER / name)
    return library_of(owner_id).find(name)


@dataclass(frozen=True, slots=True)
class ModelLibrary:
    """One owner's models; every change is on the disk when a method returns."""

    folder: Path

    def models(self) -> list[Model]:
        """Return the models by name; a folder that holds none is passed over."""
        models = []
        for name in self.names():
            with contextlib.suppress(ImageBaseError, OSError):
                models.append(self._model(name))
        return models

    def names(self) -> list[str]:
        """Return the names of the models, in the order of the alphabet."""
        if not self.folder.is_dir():
            return []
        there = [path.name for path in self.folder.iterdir() if self._is_model(path)]
        return sorted(there, key=str.casefold)

    def find(self, name: str) -> Model | None:
        """Return a model by its name, or by one that it had before; None for none.

        Raises:
            ModelLoadError: it is there and a part of it is missing or unreadable.
        """
        names = self.names()
        if name in names:
            return self._model(name)
        for given in names:
            with contextlib.suppress(ImageBaseError, OSError):
                if name in self.card(given).former_names:
                    return self._model(given)
        return None

    def card(self, name: str) -> ModelCard:
        """Return the card of a model.

        Raises:
            UnknownModelError: there is none of that name.
            ModelLoadError: its card is damaged.
        """
        return read_card(self._path(name))

    def add(self, files: Mapping[str, Path], card: ModelCard) -> Model:
        """Add a validated model; the files are copied.

        Args:
            files: by the names they are to have: obj.cfg, obj.weights and obj.names,
                or model.onnx and obj.names.
            card: its description; its name has to be a new one.

        Raises:
            ModelLoadError: the name cannot be used, or the disk refused.
        """
        name = self.check_name(card.name)
        draft = self.folder / f"{_DRAFT}{new_id()}"
        try:
            draft.mkdir(parents=True)
            for file_name, path in files.items():
                shutil.copyfile(path, draft / file_name)
            _write_card(draft, replace(card, name=name, identity=name))
            draft.rename(self.folder / name)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise ModelLoadError(
                f"The model {name} could not be kept ({error.strerror}); make room on "
                "the disk and try again."
            ) from error
        _log.info("Model added: %s (%s)", name, card.family)
        return self._model(name)

    def of_datasets(self) -> list[ModelCard]:
        """Return the cards of the models that datasets teach, by name."""
        cards = []
        for name in self.names():
            with contextlib.suppress(ModelLoadError):
                cards.append(self.card(name))
        return [card for card in cards if card.dataset_id]

    def is_intact(self, card: ModelCard) -> bool:
        """Say whether a taught model's file is the one of which its card tells."""
        path = self.folder / card.name / TAUGHT
        try:
            about = path.stat()
            return _digest(path, about.st_mtime_ns, about.st_size) == card.sha256
        except OSError:
            return False

    def add_taught(self, content: bytes, card: ModelCard) -> Model:
        """Add a model that was taught by examples.

        Args:
            content: of its .npz file.
            card: its description; its name has to be a new one.

        Raises:
            ModelLoadError: the name cannot be used, or the disk refused.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / TAUGHT
            path.write_bytes(content)
            return self.add({TAUGHT: path}, card)

    def replace_taught(self, content: bytes, card: ModelCard) -> Model:
        """Give a taught model, by the name on its card, another file and card.

        Its identity and former names stay.

        Raises:
            UnknownModelError: there is none of that name.
            ModelLoadError: the disk refused.
        """
        before, folder = self.card(card.name), self._path(card.name)
        draft = folder / f".{TAUGHT}.{new_id()}"
        kept = replace(card, identity=before.identity, former_names=before.former_names)
        try:
            draft.write_bytes(content)
            draft.replace(folder / TAUGHT)
            _write_card(folder, kept)
        except OSError as error:
            raise ModelLoadError(
                f"The model {card.name} could not be kept ({error.strerror}); make "
                "room on the disk and try again."
            ) from error
        return self._model(card.name)

    def rename(self, name: str, new_name: str) -> Model:
        """Give a model another name; the one it had still leads to it.

        Raises:
            UnknownModelError: there is none of that name.
            ModelLoadError: the new name cannot be used.
        """
        card = self.card(name)
        if clean_text(new_name).strip() == name:
            return self._model(name)
        fresh = self.check_name(new_name, except_for=name)
        former = tuple(old for old in (*card.former_names, name) if old != fresh)
        folder = self._path(name).rename(self.folder / fresh)
        _write_card(folder, replace(card, name=fresh, former_names=former))
        return self._model(fresh)

    def describe(
        self, name: str, *, description: str, source: str, licence: str
    ) -> ModelCard:
        """Set a model's description, source and licence.

        Raises:
            UnknownModelError: there is none of that name.
        """
        card = replace(
            self.card(name),
            description=_shortened(description),
            source=_shortened(source),
            licence=_shortened(licence),
        )
        _write_card(self._path(name), card)
        return card

    def put_score(self, name: str, score: Score) -> None:
        """Store a model's score in an evaluation."""
        _write_card(self._path(name), replace(self.card(name), score=score))

    def delete(self, name: str, *, in_use: Iterable[str] = ()) -> None:
        """Delete a model's files; the boxes it made are kept.

        Args:
            name: of the model.
            in_use: the models, by any of their names, that background work uses now.

        Raises:
            UnknownModelError: there is none of that name.
            ModelLoadError: it is in use.
        """
        path = self._path(name)
        self.refuse_if_in_use(name, in_use)
        # Out of sight first: a half-deleted model would be a broken one.
        hidden = path.rename(self.folder / f"{_DRAFT}{new_id()}")
        shutil.rmtree(hidden, ignore_errors=True)
        _log.info("Model deleted: %s", name)

    def refuse_if_in_use(self, name: str, in_use: Iterable[str]) -> None:
        """Refuse to delete a model that background work uses now.

        Raises:
            ModelLoadError: it is in use; arguments are those of `delete`.
        """
        if self._all_names(name) & set(in_use):
            raise ModelLoadError(
                f"The model {name} is at work now; wait for its run to end, or cancel "
                "it, and delete it then."
            )

    def check_name(self, name: str, *, except_for: str = "") -> str:
        """Return a valid model name, cleaned up.

        Args:
            name: what a person typed.
            except_for: a name that may differ from it in capitals only.

        Raises:
            ModelLoadError: it may not; the message says what to do.
        """
        clean = clean_text(name).strip()
        if not 0 < len(clean) <= MAX_NAME_LENGTH:
            raise ModelLoadError(
                f"Give the model a name of 1 to {MAX_NAME_LENGTH} letters."
            )
        is_hidden = clean.startswith(".") or clean.endswith(".")
        if is_hidden or not clean.isprintable() or _NOT_IN_NAMES & set(clean):
            raise ModelLoadError(
                f"A model cannot be called {clean!r}; use letters, digits, blanks, "
                "dashes and underscores, and no @, & or +."
            )
        taken = {name.casefold() for name in (*BUNDLED, *self.names())}
        if clean.casefold() in taken - {except_for.casefold()}:
            raise ModelLoadError(
                f"There is a model {clean} already; choose another name."
            )
        return clean

    def free_name(self, wanted: str) -> str:
        """Return the name, with a number if a model has that name already.

        Raises:
            ModelLoadError: the name is not valid for a model.
        """
        taken = {name.casefold() for name in self.names()}
        for number in range(1, len(taken) + 2):
            try:
                return self.check_name(_numbered(wanted, number))
            except ModelLoadError:
                if wanted.strip().casefold() not in taken:
                    raise
        raise ModelLoadError(
            f"There are too many models named {wanted}. Choose another name."
        )

    def _all_names(self, name: str) -> set[str]:
        """Return every name that leads to a model, however damaged its card is."""
        with contextlib.suppress(ModelLoadError):
            return {name, *self.card(name).former_names}
        return {name}

    def _model(self, name: str) -> Model:
        folder, card = self._path(name), self.card(name)
        return replace(
            model_in_folder(folder),
            name=name,
            title=card.title
            or f"{name}, {len(card.labels)} label{'s'[: len(card.labels) != 1]}",
            origin=card.source,
            identity=card.identity,
            family=card.family if card.asked else None,
        )

    def _path(self, name: str) -> Path:
        if name not in self.names():
            raise UnknownModelError(
                f"There is no model {name!r} among those that were added."
            )
        return self.folder / name

    @staticmethod
    def _is_model(path: Path) -> bool:
        is_visible = not path.name.startswith(".")
        return is_visible and (path / CARD_FILE).is_file()


def fitting_name(text: str) -> str:
    """Return a text as a model may be called, dashes where a name may hold no such."""
    plain = "".join(
        character if character.isprintable() and character not in _NOT_IN_NAMES else "-"
        for character in clean_text(text)
    )
    return plain.lstrip(". ")[:MAX_NAME_LENGTH].rstrip(". ")


def _numbered(name: str, number: int) -> str:
    if number == 1:
        return name
    end = f" {number}"
    return name.strip()[: MAX_NAME_LENGTH - len(end)].rstrip() + end


def library_of(owner_id: str) -> ModelLibrary:
    """Return an owner's own models.

    Raises:
        ValueError: this cannot be an owner's id.
    """
    if not owner_id.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{owner_id!r} cannot be an owner's id")
    home = settings().home
    if owner_id == TEAM_OWNER:
        return ModelLibrary(home / "models")
    return ModelLibrary(home / "visitors" / owner_id / "models")


def delete_models(owner_id: str) -> None:
    """Delete every model of a visitor, as when the visitor's data go."""
    if owner_id != TEAM_OWNER:
        shutil.rmtree(library_of(owner_id).folder.parent, ignore_errors=True)


@lru_cache(maxsize=64)
def _digest(path: Path, _changed_at: int, _size: int) -> str:
    """Return the digest of a file that was not written since."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_card(folder: Path, card: ModelCard) -> None:
    draft = folder / f"{CARD_FILE}.new"
    draft.write_text(card.to_json(), encoding="utf-8")
    draft.replace(folder / CARD_FILE)


def _shortened(text: str) -> str:
    return clean_text(text).strip()[:MAX_TEXT_LENGTH]


def model_zip(model: Model) -> bytes:
    """Return a model's files as a zip, with the reports of its training run if any.

    A Darknet model is there as ONNX too, for whatever does not read Darknet.

    Raises:
        ModelLoadError: its files or its card are damaged.
        OSError: they cannot be read.
    """
    out = io.BytesIO()
    # Weights do not get smaller by packing.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _files(model):
            archive.writestr(name, content)
    return out.getvalue()


def _files(model: Model) -> Iterator[tuple[str, bytes]]:
    graph = model.graph.read_bytes()
    if model.weights is None:
        yield model.graph.name, graph
    else:
        weights = model.weights.read_bytes()
        yield CFG, graph
        yield WEIGHTS, weights
        yield CONVERTED, darknet_to_onnx(graph, weights, labels=model.labels)
    yield NAMES, "".join(f"{label}\n" for label in model.labels).encode()
    licence = card_of(model).licence
    if licence:
        yield LICENCE, licence.encode()
    for name in REPORTS:
        path = model.folder / name
        if path.is_file():
            yield name, path.read_bytes()
