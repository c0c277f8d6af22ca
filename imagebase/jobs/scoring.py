"""Score images for review by how uncertain the model is on each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imagebase.annotation import NOT_APPROVED, ReviewStatus, Size, Source, utc_now
from imagebase.annotation.coverage import is_inside
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import unpack
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.label_mapping import map_labels
from imagebase.detection.selection_rule import SelectionRule, select_all
from imagebase.errors import ModelLoadError, UnknownModelError
from imagebase.geometry import as_xyxy
from imagebase.jobs.inference import MIRRORED_PASS, candidates_key, run_model
from imagebase.jobs.runner import JobContext
from imagebase.review.uncertainty import SEEN_SHARE, Boxes, ImageEvidence, Looked, judge
from imagebase.store import (
    BoxColumns,
    CandidatesKey,
    ImageColumns,
    JobState,
    Scope,
    Store,
)
from imagebase.store.scope import CHUNK, chunks


@dataclass(frozen=True, slots=True)
class ModelInUse:
    """The model of a dataset's boxes, and the rule that selected them."""

    detector: Detector
    rule: SelectionRule

    @property
    def plain_key(self) -> CandidatesKey:
        return candidates_key(self.detector)

    @property
    def mirrored_key(self) -> CandidatesKey:
        return candidates_key(self.detector, passes=MIRRORED_PASS)


def model_in_use(store: Store, scope: Scope) -> ModelInUse | None:
    """Return the model whose boxes were saved last, else the one that ran last.

    None if no model ran, or if it cannot be loaded any more.
    """
    parameters = parameters_in_use(store, scope)
    return _load_in_use(store, scope, parameters) if parameters is not None else None


def parameters_in_use(store: Store, scope: Scope) -> Mapping[str, Any] | None:
    """Return the parameters of the job of the model in use; None without one."""
    jobs = store.jobs(scope)
    saved = [job for job in jobs if job.kind == "keep" and job.state is JobState.DONE]
    used = [*saved, *(job for job in jobs if job.kind in ("annotate", "teach"))]
    return used[0].parameters if used else None


def _load_in_use(
    store: Store, scope: Scope, parameters: Mapping[str, Any]
) -> ModelInUse | None:
    try:
        detector = configured_detector(
            ModelConfig.of(parameters), owner_id=scope.owner_id
        )
    except (ModelLoadError, UnknownModelError):
        return None
    rule = SelectionRule.of(parameters)
    mapping = current_mapping(store, scope, detector.labels, rule.mapping)
    return ModelInUse(detector, replace(rule, mapping=mapping))


def current_mapping(
    store: Store, scope: Scope, model_labels: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, str]:
    """Return the mapping of a model's labels to today's labels of the dataset.

    A deleted label maps to an empty name.
    """
    former = store.former_label_names(scope)
    deleted = {known.name for known in store.labels(scope) if known.is_hidden}
    now = {}
    for label in model_labels:
        mapped = mapping.get(label, label)
        name = former.get(mapped, mapped)
        if name != label or name in deleted:
            now[label] = "" if name in deleted else name
    return now


def names_in_dataset(store: Store, scope: Scope, detector: Detector) -> dict[str, str]:
    """Return the dataset's names of a model's labels; an empty name leaves one out.

    Where the dataset has renamed a label, or has it under a synonym (aeroplane,
    airplane), that name is used until a person gives it another one.
    """
    renamed = store.former_label_names(scope)
    saved = store.label_mapping(scope, detector.model_id)
    own = {name: renamed[name] for name in detector.labels if name in renamed}
    there = store.labels(scope).shown_names
    others = [name for name in detector.labels if name not in own]
    known = map_labels(others, there).names
    own |= {name: label for name, label in known.items() if name != label}
    return own | {name: label or "" for name, label in saved.items()}


def stale_images(store: Store, scope: Scope, in_use: ModelInUse | None) -> list[str]:
    """Return the ids of images that changed since they were scored, or never were."""
    keys = (in_use.plain_key, in_use.mirrored_key) if in_use else ()
    return store.stale_doubts(scope, keys)


def score_stale(context: JobContext, *, with_progress: bool = False) -> int:
    """Score the images of a job's dataset that changed since; return how many."""
    in_use = model_in_use(context.store, context.scope)
    image_ids = stale_images(context.store, context.scope, in_use)

    def report(done: int) -> bool:
        if with_progress:
            context.progress(done, len(image_ids))
        return not context.cancelled

    return score_images(
        context.store, context.scope, image_ids, in_use, on_progress=report
    )


def score_all(context: JobContext) -> int:
    """Score every image of a job's dataset by the job's model and rule."""
    return score_images(
        context.store,
        context.scope,
        context.store.image_ids(context.scope),
        _load_in_use(context.store, context.scope, context.parameters),
        on_progress=lambda _: not context.cancelled,
    )


def score_images(
    store: Store,
    scope: Scope,
    image_ids: Sequence[str],
    in_use: ModelInUse | None,
    *,
    on_progress: Callable[[int], bool] = lambda _: True,
) -> int:
    """Score images and store the result; return how many were scored.

    The rarity of labels follows from the present dataset; images scored before keep
    their scores.

    Args:
        store: of the dataset.
        scope: the dataset.
        image_ids: which images.
        in_use: the model to compare with; None scores by the boxes alone.
        on_progress: gets the number of scored images; returns whether to continue.
    """
    counts = store.label_counts(scope)
    done = 0
    for batch in chunks(image_ids, size=CHUNK):
        if not on_progress(done):
            return done
        as_of = utc_now()
        evidence = _evidence(store, scope, batch, in_use, counts)
        store.put_doubts(scope, judge(evidence), as_of=as_of)
        done += len(batch)
    on_progress(done)
    return done


class _Labels:
    """The labels of a batch by position, with their thresholds.

    of_class: the label position of each class of the model.
    """

    def __init__(self, names: Sequence[str], in_use: ModelInUse | None) -> None:
        model_labels = in_use.detector.labels if in_use else ()
        mapping = in_use.rule.mapping if in_use else {}
        mapped = [mapping.get(label, label) for label in model_labels]
        self.names = list(dict.fromkeys([*names, *mapped]))
        self._position = {name: place for place, name in enumerate(self.names)}
        self.of_class = self.positions(mapped)
        self.thresholds = np.full(len(self.names), np.nan)
        if in_use is not None:
            self.thresholds[:] = in_use.rule.confidence_threshold
            for name, target in zip(model_labels, mapped, strict=True):
                if name in in_use.rule.per_label_confidence:
                    own = in_use.rule.per_label_confidence[name]
                    self.thresholds[self._position[target]] = own

    def positions(self, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.intp]]:
        return np.array([self._position[name] for name in names], dtype=np.intp)


def _evidence(
    store: Store,
    scope: Scope,
    image_ids: Sequence[str],
    in_use: ModelInUse | None,
    counts: Mapping[str, int],
) -> ImageEvidence:
    images, known = store.doubt_columns(scope, image_ids)
    rows = _outside_areas(store, scope, images, known)
    labels = _Labels([*counts, *(row.label for row in rows)], in_use)
    plain = _boxes_of_pass(store, scope, images, labels, in_use, mirrored=False)
    mirrored = _boxes_of_pass(store, scope, images, labels, in_use, mirrored=True)
    with_boxes = {row.image_key for row in rows if not row.is_deleted}
    return ImageEvidence(
        images=[
            _scored_image(image, image.image_key in with_boxes) for image in images
        ],
        boxes=_boxes(images, [row for row in rows if not row.is_deleted], labels),
        marks=_boxes(images, [row for row in rows if row.is_deleted], labels),
        plain=plain.boxes,
        mirrored=mirrored.boxes,
        has_both=plain.is_seen & mirrored.is_seen,
        names=labels.names,
        thresholds=labels.thresholds,
        label_counts=np.array([counts.get(name, 0) for name in labels.names], np.intp),
        model_id=in_use.detector.model_id if in_use else "",
    )


def _outside_areas(
    store: Store,
    scope: Scope,
    images: Sequence[ImageColumns],
    rows: Sequence[BoxColumns],
) -> list[BoxColumns]:
    ignored = store.ignored_shapes(scope, [image.image_id for image in images])
    if not ignored:
        return list(rows)
    id_of = {image.image_key: image.image_id for image in images}
    outside = []
    for row in rows:
        area = ignored.get(id_of[row.image_key])
        box = np.array([[row.x_min, row.y_min, row.x_max, row.y_max]])
        if area is None or not is_inside(box, area.shapes, area.size)[0]:
            outside.append(row)
    return outside


def _scored_image(row: ImageColumns, has_boxes: bool) -> Looked:
    """Return an image; new ones without boxes wait for boxes to be saved."""
    status = ReviewStatus(row.status)
    is_decided = has_boxes or status is not ReviewStatus.NEW
    return Looked(
        image_id=row.image_id,
        revision=row.revision,
        size=Size(row.width, row.height),
        is_open=is_decided and status is not ReviewStatus.APPROVED,
    )


def _boxes(
    images: Sequence[ImageColumns], rows: Sequence[BoxColumns], labels: _Labels
) -> Boxes:
    place_of = {image.image_key: place for place, image in enumerate(images)}
    return Boxes(
        image=np.array([place_of[row.image_key] for row in rows], dtype=np.intp),
        xyxy=as_xyxy([(o.x_min, o.y_min, o.x_max, o.y_max) for o in rows]),
        label=labels.positions([row.label for row in rows]),
        confidence=np.array([row.confidence for row in rows], dtype=np.float64),
        is_untouched=np.array(
            [row.source == Source.MODEL and not row.accepted for row in rows],
            dtype=np.bool_,
        ),
    )


@dataclass(frozen=True, slots=True)
class _PassBoxes:
    """Boxes of one pass over M images. is_seen, (M,): whether the pass has run."""

    boxes: Boxes
    is_seen: np.ndarray[Any, np.dtype[np.bool_]]


def _boxes_of_pass(
    store: Store,
    scope: Scope,
    images: Sequence[ImageColumns],
    labels: _Labels,
    in_use: ModelInUse | None,
    *,
    mirrored: bool,
) -> _PassBoxes:
    """Return the boxes of a pass by the rule in use, with lower thresholds."""
    is_seen = np.zeros(len(images), dtype=np.bool_)
    if in_use is None:
        return _PassBoxes(Boxes.empty(), is_seen)
    place_of = {image.image_id: place for place, image in enumerate(images)}
    key = in_use.mirrored_key if mirrored else in_use.plain_key
    blobs = store.candidates(scope, key, place_of)
    blobs = {image_id: blobs[image_id] for image_id in place_of if image_id in blobs}
    pool = CandidatePool.of(
        {image_id: unpack(blob) for image_id, blob in blobs.items()}
    )
    pool = pool.outside(store.ignored_shapes(scope, pool.image_ids))
    rule = in_use.rule
    lowered = replace(
        rule,
        confidence_threshold=rule.confidence_threshold * SEEN_SHARE,
        per_label_confidence={
            name: least * SEEN_SHARE
            for name, least in rule.per_label_confidence.items()
        },
    )
    rows = select_all(pool, lowered, model_labels=in_use.detector.labels).rows
    places = np.array(
        [place_of[image_id] for image_id in pool.image_ids], dtype=np.intp
    )
    is_seen[places] = True
    boxes = Boxes(
        image=places[pool.image[rows]],
        xyxy=pool.xyxy[rows].astype(np.float64),
        label=labels.of_class[pool.class_id[rows]],
        confidence=pool.confidence[rows].astype(np.float64),
        is_untouched=np.ones(len(rows), dtype=np.bool_),
    )
    return _PassBoxes(boxes, is_seen)


def doubt(context: JobContext) -> dict[str, Any]:
    """Score the images that changed since they were scored.

    Parameters of the job: `mirrored`, whether to run the model in use first on the
    mirrored images, for those that it ran on and that are not approved. The result is
    that of the run, with the number of scored images as `judged`.
    """
    store, scope = context.store, context.scope
    context.progress(0, 0, "Loading the model …")
    in_use = model_in_use(store, scope)
    result: dict[str, Any] = {}
    if in_use is not None and context.parameters["mirrored"]:
        seen = store.has_candidates(scope, in_use.plain_key)
        result = run_model(
            context,
            in_use.detector,
            statuses=NOT_APPROVED,
            passes=MIRRORED_PASS,
            among=seen,
        )
    return {**result, "judged": score_stale(context, with_progress=not result)}
