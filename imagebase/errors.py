"""Every exception that ImageBase raises on purpose.

ImageBaseError                  catch this to show a person one sentence
├── SettingsError               an IMAGEBASE_* variable cannot be used
├── LimitError                  more than the limits allow; nothing was taken in
├── LoginError                  this person is not logged in, or may not use the server
├── ImageReadError              bytes that are not an image we can read
├── ArchiveError                a zip that is broken or not safe to unpack
├── ModelLoadError              model files that cannot become a detector
│   ├── AmbiguousModelError     they can be read in more than one way
│   ├── OpenSizeError           they take images of any size; one has to be chosen
│   ├── MisreadModelError       their outputs do not match their family
│   └── ModelCrashError         it crashed on an image, hung or filled the memory
├── WorkerError                 a worker process did not do what it was asked
│   ├── WorkerCrashError        it ended by itself
│   ├── WorkerTimeoutError      it took too long and was killed
│   ├── WorkerMemoryError       it needs more memory than is allowed
│   └── WorkerCancelledError    it was killed because its work was cancelled
├── UnknownModelError           no model of that name
├── UnknownLabelError           the model has no label of that name
├── UnknownFormatError          no annotation format of that name
├── AnnotationFileError         a label file that says something impossible
├── ExportError                 an export that could not be made or did not compare
├── StoreError                  the store cannot be opened or written
│   ├── DatabaseBusyError       another process is writing, and takes long
│   ├── DatabaseUnreachableError  a database server does not answer
│   ├── NotFoundError           no such dataset, image or job in this scope
│   ├── AmbiguousDatasetError   several datasets have that name
│   ├── ImageFileError          an image's file is missing or damaged
│   │   └── StorageUnreachableError  a bucket does not answer
│   ├── RevisionConflictError   a newer revision was saved meanwhile
│   └── UndoRefusedError        the record has moved on since that change
├── EvaluationError             an evaluation that cannot be made
│   └── EvaluationRequestError  what was asked for contradicts itself
├── EditError                   a change to a box that cannot be made
├── TrainingError               a training run that cannot start or resume
├── TeachingError               examples that no model can be taught by
└── JobError                    a job that cannot be started, cancelled or resumed

Every message is one sentence for a person: it names the thing and what to do.
"""

from typing import TYPE_CHECKING

from imagebase.logs import redacted

if TYPE_CHECKING:
    from imagebase.annotation import ImageRecord


class ImageBaseError(Exception):
    """Catch this at the edge: a page, the command line, a job.

    Its text shows no password or key, even where it quotes a URL or a driver's error.
    """

    def __str__(self) -> str:
        return redacted(super().__str__())


class SettingsError(ImageBaseError):
    """An IMAGEBASE_* variable cannot be used."""


class LimitError(ImageBaseError):
    """More than the limits allow."""


class LoginError(ImageBaseError):
    """A person is not logged in, was for too long, or may not use this server."""


class ImageReadError(ImageBaseError):
    """Bytes that are not an image ImageBase can read."""


class ArchiveError(ImageBaseError):
    """An archive that is broken or not safe to unpack."""


class ModelLoadError(ImageBaseError):
    """Model files that cannot become a detector."""


class AmbiguousModelError(ModelLoadError):
    """A model's outputs can be read in more than one way; a person has to choose."""

    def __init__(self, message: str, *, families: tuple[str, ...]) -> None:
        super().__init__(message)
        self.families = families


class OpenSizeError(ModelLoadError):
    """A model takes images of any size; a person has to choose one."""


class MisreadModelError(ModelLoadError):
    """A model's numbers are not those of the family it is read as."""

    def __init__(self, what: str, *, family: str) -> None:
        super().__init__(
            f"{what}, so it is read the wrong way: its family is {family}. Add it with "
            f'--family {family}, or choose that under "Read it as" on the Models page.'
        )
        self.what, self.family = what, family


class ModelCrashError(ModelLoadError):
    """A model crashed, hung or filled the memory in its process, on one image.

    model: as the sentence begins. what: such as "crashed". image: what it is called.
    """

    def __init__(self, model: str, what: str, *, image: str = "this image") -> None:
        super().__init__(
            f"{model} {what} on {image}; export it again, or use another model."
        )
        self.model, self.what = model, what

    def on(self, image: str) -> "ModelCrashError":
        """Return the same error with the image's name."""
        return ModelCrashError(self.model, self.what, image=image)


class WorkerError(ImageBaseError):
    """A worker process did not do what it was asked."""


class WorkerCrashError(WorkerError):
    """A worker process ended by itself, or failed."""


class WorkerTimeoutError(WorkerError):
    """A worker process took too long and was killed."""


class WorkerMemoryError(WorkerError):
    """A worker process needs more memory than is allowed."""


class WorkerCancelledError(WorkerError):
    """A worker process was killed because its work was cancelled."""


class UnknownModelError(ImageBaseError):
    """No model of that name."""


class UnknownLabelError(ImageBaseError):
    """The model has no label of that name."""


class UnknownFormatError(ImageBaseError):
    """No annotation format of that name."""


class AnnotationFileError(ImageBaseError):
    """A label file that says something impossible."""


class ExportError(ImageBaseError):
    """An export that could not be made, or did not compare."""


class StoreError(ImageBaseError):
    """The store cannot be opened or written."""


class DatabaseBusyError(StoreError):
    """Another process is writing, and takes long."""


class DatabaseUnreachableError(StoreError):
    """A database server does not answer; it may do so again soon."""


class NotFoundError(StoreError):
    """No such dataset, image or job in this scope."""


class AmbiguousDatasetError(StoreError):
    """Several datasets have that name."""


class ImageFileError(StoreError):
    """An image's file is missing, damaged, or cannot be read."""


class StorageUnreachableError(ImageFileError):
    """The place of the image files does not answer; it may do so again soon."""


class RevisionConflictError(StoreError):
    """A newer revision was saved meanwhile; both versions are at hand.

    base: what ours was made from, where who raises it knows.
    """

    def __init__(
        self,
        message: str,
        *,
        ours: "ImageRecord",
        theirs: "ImageRecord",
        base: "ImageRecord | None" = None,
    ) -> None:
        super().__init__(message)
        self.ours = ours
        self.theirs = theirs
        self.base = base


class UndoRefusedError(StoreError):
    """The record has moved on since the change that was to be undone."""


class JobError(ImageBaseError):
    """A job that cannot be started, cancelled or resumed."""


class EvaluationError(ImageBaseError):
    """An evaluation that cannot be made."""


class EvaluationRequestError(EvaluationError):
    """What was asked of an evaluation contradicts itself; nothing was done."""


class EditError(ImageBaseError):
    """A change to a box or an image that cannot be made."""


class TrainingError(ImageBaseError):
    """A training run that cannot start or resume."""


class TeachingError(ImageBaseError):
    """Examples that no model can be taught by."""
