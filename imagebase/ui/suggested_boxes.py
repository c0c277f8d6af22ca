"""Suggestions: a model's unsaved boxes, and what its labels are called here."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import streamlit as st

from imagebase.annotation import Annotation, ImageRecord, ReviewStatus
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import unpack
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.merge import suggested
from imagebase.detection.selection_rule import (
    SelectionRule,
    as_annotations,
    found_labels,
    select_all,
)
from imagebase.errors import ImageBaseError
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.scoring import current_mapping, names_in_dataset
from imagebase.store import JobInfo, JobState
from imagebase.ui import (
    cache,
    find_more,
    job_progress,
    learned_boxes,
    services,
    state,
    widgets,
)

CONFIDENCE: Final = "annotate.confidence"
NMS: Final = "annotate.nms"
LABELS: Final = "annotate.labels"
FLOOR: Final = 0.05


class _Suggester(NamedTuple):
    """A model, and the rule by which its candidates become boxes."""

    detector: Detector
    rule: SelectionRule


def of_record(record: ImageRecord) -> tuple[Annotation, ...]:
    """Return the suggestions for an image that are not saved on it yet."""
    return of_records([record])[record.image_id]


def of_records(records: Sequence[ImageRecord]) -> Mapping[str, tuple[Annotation, ...]]:
    """Return the unsaved suggestions for each image, by image id.

    They are those of the model that ran last, and of what was learned while labelling.
    """
    found = _of_run(records)
    return {
        record.image_id: learned_boxes.suggestions(record, found[record.image_id])
        for record in records
    }


def _of_run(records: Sequence[ImageRecord]) -> dict[str, tuple[Annotation, ...]]:
    nothing: dict[str, tuple[Annotation, ...]] = {
        record.image_id: () for record in records
    }
    open_ones = [
        record for record in records if record.status is not ReviewStatus.APPROVED
    ]
    source = _source() if open_ones else None
    if source is None:
        return nothing
    pool = _pool_of_few(source.detector, [record.image_id for record in open_ones])
    detector, rule = source
    selection = select_all(pool, rule, model_labels=detector.labels)
    in_pool = set(pool.image_ids)
    return nothing | {
        record.image_id: suggested(
            record,
            as_annotations(
                selection.of(record.image_id),
                model_labels=detector.labels,
                model_id=detector.model_id,
                mapping=rule.mapping,
                voters=detector.voters,
            ),
            model_id=detector.model_id,
        )
        for record in open_ones
        if record.image_id in in_pool
    }


def count_on_new() -> int:
    """Return the number of suggestions on images without any boxes."""
    source = _source()
    if source is None:
        return 0
    scope, store = state.scope(), services.store()
    new = tuple(store.image_ids(scope, statuses=[ReviewStatus.NEW]))
    key = candidates_key(source.detector)
    version = store.candidates_version(scope, key)
    pool = cache.candidates_of(scope.owner_id, scope.dataset_id, key, version, new)
    return select_all(pool, source.rule, model_labels=source.detector.labels).boxes


def _pool_of_few(detector: Detector, image_ids: Sequence[str]) -> CandidatePool:
    """Return a model's stored candidates of these images, outside ignore areas."""
    scope, store = state.scope(), services.store()
    packed = store.candidates(scope, candidates_key(detector), image_ids)
    pool = CandidatePool.of({name: unpack(blob) for name, blob in packed.items()})
    return pool.outside(store.ignored_shapes(scope, pool.image_ids))


def pool_of(detector: Detector) -> CandidatePool:
    """Return a model's stored candidates of the dataset, outside ignore areas."""
    scope, key = state.scope(), candidates_key(detector)
    version = services.store().candidates_version(scope, key)
    return cache.candidates(scope.owner_id, scope.dataset_id, key, version)


def _source() -> _Suggester | None:
    """Return the model that ran last, or whose boxes were saved since."""
    runs = [job_progress.latest(kind) for kind in ("annotate", "teach")]
    saved = job_progress.latest("keep")
    jobs = [job for job in runs if job is not None]
    if saved is not None and saved.state is JobState.DONE:
        jobs.append(saved)
    # A model that is being taught for the first time is not there yet.
    for job in sorted(jobs, key=lambda job: job.created_at, reverse=True):
        try:
            # Without a spinner: callbacks call this too.
            detector = configured_detector(
                ModelConfig.of(job.parameters), owner_id=state.scope().owner_id
            )
        except (ImageBaseError, KeyError):
            if job.kind != "teach":
                return None
            continue
        return _Suggester(detector, _rule(job, detector, is_saved=job is saved))
    return None


def _rule(job: JobInfo, detector: Detector, *, is_saved: bool) -> SelectionRule:
    """Return the rule that boxes were saved by, else the one of the page's sliders."""
    default = SelectionRule.of(job.parameters if is_saved else {})
    if is_saved:
        store, scope = services.store(), state.scope()
        mapping = current_mapping(store, scope, detector.labels, default.mapping)
        return replace(default, mapping=mapping)
    fields = st.session_state
    if job.kind == "teach":
        return SelectionRule(
            fields.get(find_more.CONFIDENCE, find_more.LIKELY),
            find_more.NMS_IOU,
            mapping=mapping_of(detector),
            per_label_confidence=thresholds_of(detector),
        )
    return SelectionRule(
        confidence_threshold=fields.get(CONFIDENCE, default.confidence_threshold),
        nms_threshold=fields.get(NMS, default.nms_threshold),
        labels=tuple(widgets.all_offered(LABELS, detector.labels)) or None,
        mapping=mapping_of(detector),
        per_label_confidence=thresholds_of(detector),
    )


def labels_found(pool: CandidatePool, detector: Detector) -> list[str]:
    """Return the model's labels that occur on these images, in the model's order."""
    return list(
        found_labels(pool, model_labels=detector.labels, confidence_threshold=FLOOR)
    )


def mapping_of(detector: Detector) -> dict[str, str]:
    """Return this dataset's names of a model's labels; an empty name leaves one out."""
    return names_in_dataset(services.store(), state.scope(), detector)


def thresholds_of(detector: Detector) -> dict[str, float]:
    """Return the confidence thresholds set for single labels of a model."""
    return services.store().label_thresholds(state.scope(), detector.model_id)
