"""Learn while people label: refit, relabel what is shown next, judge training runs.

What was learned is in memory: after a restart it is learned again from the approved
images, of which the nets' features are stored. The rules are in `imagebase.learning`;
docs/decisions/0024-learns-while-you-label.md says why.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.detection.candidates import Candidates, unpack
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.library import library_of, registered_model
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.detection.taught.teacher import MOST_EXAMPLES, Teacher
from imagebase.errors import ImageBaseError, JobError, LimitError, TeachingError
from imagebase.evaluation.detection_pass import models_named
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.scoring import model_in_use, names_in_dataset
from imagebase.jobs.training import KIND, description, parts_known, rounds_of
from imagebase.learning.choice import (
    ENOUGH_BOXES,
    ENOUGH_IMAGES,
    FOUND_FLOOR,
    RECENT,
    RUN,
    SHOWN,
    TAUGHT,
    TRAINED,
    Found,
    JudgedImage,
    ModelChoice,
    challenge,
    choose,
)
from imagebase.learning.scenes import scene_of
from imagebase.learning.schedule import (
    SHOWN_NEXT,
    Labelled,
    may_train,
    minutes_for,
    to_forget,
    to_relabel,
)
from imagebase.settings import DEFAULT_MODEL
from imagebase.store import JobInfo, JobState, Scope, Store
from imagebase.store.learning import (
    LearningRow,
    LearningState,
    TrainedWhileLabelling,
    Verdict,
)
from imagebase.training.sources import Round, model_to_use

TAUGHT_ID: Final = "learned-while-labelling"
"""The model id of boxes that the taught model suggests while people label."""
LEARNING: Final = "learning"
"""Parameter of a training run that was started here."""
# Of the images that are not shown next, so many are relabelled after each refit.
_RELABELLED: Final = 50
# Each label takes its share of every refit; of more, those that came first are learned.
MOST_LABELS: Final = 16
_JUDGED_KEPT: Final = 3 * RECENT
_CHECK_SECONDS: Final = 3.0
ASKED_EVERY: Final = 5.0

_log: Final = logging.getLogger(__name__)

StartTraining = Callable[[Scope, dict[str, Any]], None]


class Learned(NamedTuple):
    """What to suggest on an image, and the version of the models that found it.

    boxes: of the taught and the trained model; those of the run model are elsewhere.
    seen: what these models saw at all, of the labels that they suggest.
    model_id: of each label.
    choice: which model suggests each label.
    """

    version: int
    boxes: Found
    seen: Found
    model_id: Mapping[str, str]
    choice: ModelChoice


@dataclass(frozen=True, slots=True)
class LearningStatus:
    """What a dataset has learned so far.

    images: that the taught model was fitted on. ap50: by label, of the model that
    suggests it, where it was judged. is_busy: something is on its way.
    version: of the models, as in `Learned`. dataset: the version of the dataset that
    was read last. is_behind: images that were approved in it are not learned yet.
    """

    images: int = 0
    ap50: Mapping[str, float] = field(default_factory=dict)
    is_busy: bool = False
    version: int = 0
    dataset: str = ""
    is_behind: bool = False


class Learner:
    """What one dataset learns; `step` is called by one thread alone."""

    def __init__(
        self,
        store: Store,
        scope: Scope,
        *,
        max_pixels: int,
        start_training: StartTraining | None,
    ) -> None:
        self._store, self._scope = store, scope
        self._max_pixels = max_pixels
        self._start_training = start_training
        self._teacher = Teacher()
        self._examples: dict[str, tuple[str, ...]] = {}
        self._revisions: dict[str, int] = {}
        self._shown_labels: frozenset[str] = frozenset()
        self._to_put: list[str] = []
        self._waiting: list[str] = []
        self._is_changed = False
        self._taught: TaughtDetector | None = None
        self._trained: Detector | None = None
        self._trained_job = ""
        self._run: tuple[Detector, Mapping[str, str]] | None = None
        self._judged: list[JudgedImage] = []
        self._synced = ""
        self._checked_at = 0.0
        self._refit_after = 0.0
        self._described: set[str] = set()
        self._version = 0
        self._choice = ModelChoice()
        self._found: dict[str, tuple[int, Mapping[str, Found]]] = {}
        self.following: Sequence[str] = ()
        self._status = LearningStatus()

    def status(self) -> LearningStatus:
        """Return what was learned so far."""
        return self._status

    def learned(self, image_id: str) -> Learned | None:
        """Return what to suggest on an image; None where nothing is known yet."""
        known, choice = self._found.get(image_id), self._choice
        if known is None:
            return None
        version, found = known
        own = {
            name: boxes for name, boxes in found.items() if name in (TAUGHT, TRAINED)
        }
        ids = {
            label: self._trained.model_id
            if name == TRAINED and self._trained
            else TAUGHT_ID
            for label, name in choice.model.items()
        }
        return Learned(version, choice.suggestions(own), choice.shown(own), ids, choice)

    def step(self) -> float:
        """Do one piece of work; return the seconds until there may be more."""
        row = self._store.learning(self._scope)
        if row.state is LearningState.OFF:
            self._found.clear()
            return ASKED_EVERY
        if row.state is LearningState.ON:
            self._sync(row)
        bare = self._next_bare()
        if bare is not None:
            self._relabel(bare)
            return 0.0
        if row.state is LearningState.ON:
            if self._to_put:
                self._put(self._to_put.pop(0))
                return 0.0
            if self._is_changed and time.monotonic() >= self._refit_after:
                self._refit()
                return 0.0
        stale = self._next_stale()
        if stale is not None:
            self._relabel(stale)
            return 0.0
        if self._describe_next():
            return 0.0
        self._tell(is_busy=self._is_changed)
        if self._is_changed and row.state is LearningState.ON:
            return max(self._refit_after - time.monotonic(), 0.0)
        return ASKED_EVERY

    def _sync(self, row: LearningRow) -> None:
        """Compare with the dataset: which images are examples, and what was trained."""
        version = self._store.version(self._scope)
        if version != self._synced:
            self._synced = version
            self._compare()
            self._tell(is_busy=True)
        if time.monotonic() - self._checked_at > _CHECK_SECONDS:
            self._checked_at = time.monotonic()
            self._follow_training(row)

    def _compare(self) -> None:
        rows = self._store.image_summaries(self._scope)
        approved = {
            row.image_id: row.revision
            for row in rows
            if row.status is ReviewStatus.APPROVED
        }
        self._waiting = [row.image_id for row in rows if row.image_id not in approved]
        for image_id in self._revisions.keys() - approved.keys():
            self._forget(image_id)
            del self._revisions[image_id]
        self._learn_renamed()
        news = [
            i for i, revision in approved.items() if self._revisions.get(i) != revision
        ]
        self._revisions = approved
        self._to_put = [*dict.fromkeys([*self._to_put, *news[-MOST_EXAMPLES:]])]
        self._run = self._run_model()

    def _learn_renamed(self) -> None:
        """Learn again the examples of labels that are called otherwise by now."""
        shown = frozenset(self._store.labels(self._scope).shown_names)
        if shown == self._shown_labels:
            return
        self._shown_labels = shown
        for image_id, labels in self._examples.items():
            if not shown.issuperset(labels):
                self._revisions.pop(image_id, None)
        if self._trained is not None:
            self._is_changed = True

    def _forget(self, image_id: str) -> None:
        """Unlearn an image that is not approved any more."""
        self._judged = [one for one in self._judged if one.image_id != image_id]
        if self._examples.pop(image_id, None) is not None:
            self._teacher.drop(image_id)
            self._is_changed = True

    def _put(self, image_id: str) -> None:
        """Take an approved image as an example, and judge the models by it."""
        try:
            record = self._store.record(self._scope, image_id)
            if record.status is not ReviewStatus.APPROVED:
                return
            scene = self._scene(image_id)
        except ImageBaseError as error:
            _log.info("%s teaches nothing: %s", image_id, error)
            return
        is_new = image_id not in self._found and image_id not in self._examples
        if is_new and self._taught is not None:
            # It was approved before anything had been found in it.
            self._relabel(image_id)
        self._judge(record)
        wanted = self._labels_with(record)
        taught = [one for one in record.annotations if one.label in wanted]
        labels = [annotation.label for annotation in taught]
        boxes = [annotation.box for annotation in taught]
        self._teacher.put(image_id, scene, boxes, labels)
        self._examples[image_id] = tuple(labels)
        while len(self._examples) > MOST_EXAMPLES:
            oldest = to_forget(self._examples)
            self._teacher.drop(oldest)
            del self._examples[oldest]
        self._is_changed = True
        self._tell(is_busy=True)

    def _labels_with(self, record: ImageRecord) -> Collection[str]:
        """Return the labels that are learned with an image: the first of too many."""
        own = [annotation.label for annotation in record.annotations]
        known = [label for labels in self._examples.values() for label in labels]
        return list(dict.fromkeys([*known, *own]))[:MOST_LABELS]

    def _judge(self, record: ImageRecord) -> None:
        """Keep what the models found in an image before it was approved."""
        _, found = self._found.pop(record.image_id, (0, {}))
        known = {image.image_id for image in self._judged}
        if not found or record.image_id in known:
            return
        xyxy = np.array([one.box for one in record.annotations], np.float32)
        label = np.array([one.label for one in record.annotations], np.str_)
        judged = JudgedImage(
            record.image_id, record.size, xyxy.reshape(-1, 4), label, found
        )
        self._judged = [*self._judged, judged][-_JUDGED_KEPT:]

    def _refit(self) -> None:
        self._is_changed = False
        started = time.monotonic()
        try:
            model = self._teacher.model()
            self._taught = TaughtDetector(model, name=TAUGHT_ID)
        except TeachingError:
            self._taught = None
        # Where a refit takes long, labelling comes first.
        self._refit_after = time.monotonic() + (time.monotonic() - started)
        self._choose()

    def _choose(self) -> None:
        """Choose the models anew; what they found before is stale from now on."""
        knows: dict[str, Sequence[str]] = {}
        if self._trained is not None:
            knows[TRAINED] = [*filter(None, self._names_here(self._trained))]
        if self._run is not None:
            detector, names = self._run
            own = [names.get(label, label) for label in detector.labels]
            knows[RUN] = [label for label in own if label]
        if self._taught is not None:
            knows[TAUGHT] = self._taught.labels
        self._choice = choose(self._judged, knows)
        self._version += 1
        self._tell(is_busy=True)

    def _names_here(self, detector: Detector) -> list[str]:
        """Return a model's labels as the dataset calls them; empty for one left out."""
        names = names_in_dataset(self._store, self._scope, detector)
        return [names.get(label, label) for label in detector.labels]

    def _next_bare(self) -> str | None:
        """Return an image on screen or next of which nothing is known yet.

        An older model's suggestions at once are worth more than the newest in a while.
        """
        if self._taught is None and self._trained is None:
            return None
        waiting = set(self._waiting)
        return next(
            (
                image_id
                for image_id in self.following[:SHOWN_NEXT]
                if image_id in waiting and image_id not in self._found
            ),
            None,
        )

    def _next_stale(self) -> str | None:
        """Return the image to relabel next; None where none is stale."""
        if self._taught is None and self._trained is None:
            return None
        waiting = set(self._waiting)
        following = [image_id for image_id in self.following if image_id in waiting]
        for place, (image_id, _) in enumerate(to_relabel(following, self._waiting)):
            if place >= _RELABELLED:
                break
            if self._found.get(image_id, (-1, {}))[0] != self._version:
                return image_id
        return None

    def _describe_next(self) -> bool:
        """Run the nets on an image before it is needed; return whether there was one.

        So the first approval of all is learned from at once.
        """
        for image_id in self.following[: SHOWN_NEXT + 1]:
            if image_id not in self._described:
                self._described.add(image_id)
                with contextlib.suppress(ImageBaseError):
                    self._scene(image_id)
                return True
        return False

    def _scene(self, image_id: str) -> DescribedImage:
        return scene_of(self._store, self._scope, image_id, max_pixels=self._max_pixels)

    def _relabel(self, image_id: str) -> None:
        try:
            found = self._find(image_id)
        except ImageBaseError as error:
            _log.info("%s is not relabelled: %s", image_id, error)
            found = {}
        self._found[image_id] = (self._version, found)

    def _find(self, image_id: str) -> dict[str, Found]:
        """Return what each model finds in an image, and what they show together."""
        scene = self._scene(image_id)
        found: dict[str, Found] = {}
        if self._trained is not None:
            found[TRAINED] = self._found_by_trained(self._trained, image_id)
        if self._run is not None:
            seen = self._seen_in_run(image_id)
            if seen is not None:
                found[RUN] = seen
        if self._taught is not None:
            own = self._taught.candidates_of(scene, FOUND_FLOOR)
            found[TAUGHT] = _as_found(own, self._taught.labels)
        found[SHOWN] = self._choice.shown(found)
        return found

    def _found_by_trained(self, detector: Detector, image_id: str) -> Found:
        scene = self._scene(image_id)
        found = detector.candidates(
            scene.loaded.rgb, size=scene.loaded.size, floor=FOUND_FLOOR
        )
        own = _as_found(found, self._names_here(detector))
        return own.rows(own.label != "")

    def _seen_in_run(self, image_id: str) -> Found | None:
        """Return what the model of the last run saw in an image; None if it did not."""
        if self._run is None:
            return None
        detector, names = self._run
        key = candidates_key(detector)
        stored = self._store.candidates(self._scope, key, [image_id]).get(image_id)
        if stored is None:
            return None
        found = unpack(stored)
        found = found.rows(found.confidence >= FOUND_FLOOR)
        own = _as_found(found, [names.get(label, label) for label in detector.labels])
        return own.rows(own.label != "")

    def _run_model(self) -> tuple[Detector, Mapping[str, str]] | None:
        """Return the model of the last run, and the names of its labels here."""
        in_use = model_in_use(self._store, self._scope)
        # A taught one knows the approved images, so it cannot be judged by them.
        if in_use is None or isinstance(in_use.detector, TaughtDetector):
            return None
        names = names_in_dataset(self._store, self._scope, in_use.detector)
        return in_use.detector, names

    def _tell(self, *, is_busy: bool) -> None:
        ap50 = {
            label: score.ap50
            for (name, label), score in self._choice.scores.items()
            if self._choice.model.get(label) == name and score.boxes >= ENOUGH_BOXES
        }
        self._status = LearningStatus(
            len(self._examples),
            ap50,
            is_busy,
            self._version,
            self._synced,
            is_behind=bool(self._to_put) or self._is_changed,
        )

    def _follow_training(self, row: LearningRow) -> None:
        """Use the model that the dataset uses, judge a new one, and start a run."""
        used = row.trained
        if (used.job_id if used else "") != self._trained_job:
            self._use(used)
        job = self._store.latest_job(self._scope, KIND)
        if job is not None and job.state.is_active:
            return
        if job is not None and self._is_new(job, row):
            self._compare_trained(job)
        elif self._start_training is not None:
            self._train_if_due(job)

    def _use(self, run: TrainedWhileLabelling | None) -> None:
        """Use the model of a run, or none; it is judged on the images to come."""
        self._trained_job = run.job_id if run else ""
        self._trained = self._load(run.model) if run else None
        self._judged = [
            image._replace(found={n: f for n, f in image.found.items() if n != TRAINED})
            for image in self._judged
        ]
        self._choose()

    def _load(self, name: str) -> Detector | None:
        try:
            return configured_detector(
                ModelConfig((name,)), owner_id=self._scope.owner_id
            )
        except ImageBaseError as error:
            _log.warning("The trained model %s is not used: %s", name, error)
            return None

    @staticmethod
    def _is_new(job: JobInfo, row: LearningRow) -> bool:
        """Say whether a run was started here, is done, and was not judged yet."""
        is_ours = bool(job.parameters.get(LEARNING)) and job.state is JobState.DONE
        return is_ours and job.job_id not in {run.job_id for run in row.runs}

    def _compare_trained(self, job: JobInfo) -> None:
        """Let a newly trained model take over if it is better where both are new."""
        (last, *_) = [run for run in rounds_of([job]) if run.job_id == job.job_id]
        fitted_on = parts_known(self._scope, last)
        fresh = [one for one in self._judged if one.image_id not in fitted_on]
        if len(fresh) < ENOUGH_IMAGES:
            return
        detector = self._load(last.model)
        if detector is None:
            return

        def find(image_id: str) -> Found:
            return self._found_by_trained(detector, image_id)

        judged, takeover = challenge(self._judged, fitted_on=fitted_on, find=find)
        verdict = Verdict.USED if takeover.is_better else Verdict.REFUSED
        _log.info("A trained model: %s, %s", verdict, takeover)
        run = TrainedWhileLabelling(job.job_id, last.model, *takeover, verdict)
        self._store.change_learning(self._scope, lambda row: row.with_run(run))
        delete_superseded_models(self._store, self._scope)
        if takeover.is_better:
            self._use(run)
            self._judged = judged
            self._choose()

    def _base(self, rounds: Sequence[Round]) -> str:
        """Return the model to start from: that of the last run while there is one."""
        if not rounds:
            return DEFAULT_MODEL
        try:
            name = model_to_use(rounds[-1])
            return registered_model(name, owner_id=self._scope.owner_id).name
        except ImageBaseError:
            return DEFAULT_MODEL

    def _train_if_due(self, last: JobInfo | None) -> None:
        rows = self._store.image_contents(self._scope, statuses=[ReviewStatus.APPROVED])
        counts = [row.box_count for row in rows if row.box_count]
        rounds = rounds_of([last]) if last else []
        trained_on = len(parts_known(self._scope, rounds[-1])) if rounds else 0
        labelled = Labelled(len(counts), sum(counts))
        # A run that failed or was cancelled is not tried again by itself.
        has_failed = last is not None and last.state is not JobState.DONE
        if has_failed or not may_train(labelled, trained_on=trained_on):
            return
        if self._start_training is not None:
            parameters = {
                "name": "Learned while labelling",
                "base": self._base(rounds),
                "minutes": minutes_for(len(counts)),
                LEARNING: True,
            }
            # Another job may be running; it is tried again later.
            with contextlib.suppress(JobError, LimitError):
                self._start_training(self._scope, parameters)


def delete_superseded_models(store: Store, scope: Scope) -> None:
    """Delete the models trained here that are needed no more, 24 MB each.

    Needed are the one in use, the one before it, for undo, and the one from which the
    next run starts. What a person has renamed, described or used in a job is kept.
    """
    ours, theirs = _trainings_and_names(store, scope)
    newest = rounds_of(ours)[-1:]
    row = store.learning(scope)
    used = [run.model for run in row.runs if run.verdict is Verdict.USED][-2:]
    judged = {run.job_id for run in row.runs}
    kept = {*theirs, *used, *map(model_to_use, newest)}
    kept |= {round_.model for round_ in newest if round_.job_id not in judged}
    library = library_of(scope.owner_id)
    deleted: set[str] = set()
    for job in ours:
        result = job.result or {}
        name = result.get("model", "")
        # The description is that of this run: another model may have the name by now.
        with contextlib.suppress(ImageBaseError, OSError, KeyError):
            is_same = library.card(name).description == description(result["metrics"])
            if is_same and name not in kept:
                library.delete(name)
                deleted.add(name)
    store.change_learning(scope, lambda row: row.without_models(deleted))


def _trainings_and_names(store: Store, scope: Scope) -> tuple[list[JobInfo], set[str]]:
    """Return the runs that learning started, and the models of all other jobs."""
    ours: list[JobInfo] = []
    theirs: set[str] = set()
    for dataset in store.datasets(scope.owner_id):
        for job in store.jobs(replace(scope, dataset_id=dataset.dataset_id)):
            if not job.parameters.get(LEARNING):
                theirs |= models_named(job.parameters)
            elif dataset.dataset_id == scope.dataset_id:
                ours.append(job)
    return ours, theirs


def _as_found(candidates: Candidates, labels: Sequence[str]) -> Found:
    names = np.array([*labels, ""], np.str_)
    found = Found(candidates.xyxy, candidates.confidence, names[candidates.class_id])
    return found.suppressed()
