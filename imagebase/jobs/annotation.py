"""Annotate images of a dataset with a model, and save its boxes."""

from collections.abc import Collection
from typing import Any, Final

from imagebase.annotation import ImageRecord, ReviewStatus
from imagebase.detection.candidate_pool import CandidatePool, SelectedBoxes
from imagebase.detection.candidates import unpack
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.merge import keep_detections
from imagebase.detection.selection_rule import (
    SelectionRule,
    as_annotations,
    kept_labels,
    select_all,
)
from imagebase.jobs.inference import candidates_key, run_model
from imagebase.jobs.runner import JobContext
from imagebase.jobs.scoring import score_all, score_stale


def annotate(context: JobContext) -> dict[str, Any]:
    """Run a model on every image in these states that it has not run on yet.

    Parameters of the job: those of `ModelConfig`, and `statuses`, the review states of
    the images. The result counts the images, and names the refused ones.
    """
    context.progress(0, 0, "Loading the model …")
    setup = ModelConfig.of(context.parameters)
    detector = configured_detector(setup, owner_id=context.scope.owner_id)
    statuses = [ReviewStatus(status) for status in context.parameters["statuses"]]
    result = run_model(context, detector, statuses=statuses)
    score_stale(context)
    return result


BATCH: Final = 50


def keep(context: JobContext) -> dict[str, Any]:
    """Save stored candidates as boxes, by the thresholds a person chose.

    Parameters of the job: those of `annotate`, and the fields of SelectionRule. All
    changes share one change id: one undo reverts them. The result counts the changed
    images, the untouched model boxes on them all, and the images that changed in the
    meantime.
    """
    setup = ModelConfig.of(context.parameters)
    detector = configured_detector(setup, owner_id=context.scope.owner_id)
    rule = SelectionRule.of(context.parameters)
    statuses = [ReviewStatus(status) for status in context.parameters["statuses"]]
    store, scope = context.store, context.scope
    selection = _selection(context, detector, rule, statuses)
    image_ids = selection.pool.image_ids
    # In the model's order, whichever image comes first: class ids never change.
    names = kept_labels(selection, rule, model_labels=detector.labels)
    store.add_labels(scope, names)
    change_id = context.job_id  # one undo, interrupted or not
    changed = boxes = conflicts = 0
    for start in range(0, len(image_ids), BATCH):
        if context.cancelled:
            break
        before = store.records(scope, image_ids=image_ids[start : start + BATCH])
        after = [_with_boxes(record, detector, rule, selection) for record in before]
        report = store.save_many(scope, after, change_id=change_id)
        saved = {record.image_id: record.revision for record in report.saved}
        changed += sum(saved.get(r.image_id, 0) > r.revision for r in before)
        boxes += sum(box.is_untouched for r in report.saved for box in r.annotations)
        conflicts += len(report.conflicts)
        context.progress(min(start + BATCH, len(image_ids)), len(image_ids))
    score_all(context)
    return {"images": changed, "boxes": boxes, "conflicts": conflicts}


def _selection(
    context: JobContext,
    detector: Detector,
    rule: SelectionRule,
    statuses: Collection[ReviewStatus],
) -> SelectedBoxes:
    store, scope = context.store, context.scope
    pool = CandidatePool.joined(
        CandidatePool.of({image_id: unpack(blob) for image_id, blob in packed})
        for packed in store.each_candidates(scope, candidates_key(detector))
    )
    wanted = pool.only(store.image_ids(scope, statuses=statuses))
    wanted = wanted.outside(store.ignored_shapes(scope, wanted.image_ids))
    return select_all(wanted, rule, model_labels=detector.labels)


def _with_boxes(
    record: ImageRecord,
    detector: Detector,
    rule: SelectionRule,
    selection: SelectedBoxes,
) -> ImageRecord:
    boxes = as_annotations(
        selection.of(record.image_id),
        model_labels=detector.labels,
        model_id=detector.model_id,
        mapping=rule.mapping,
        voters=detector.voters,
    )
    return keep_detections(record, boxes, model_id=detector.model_id)
