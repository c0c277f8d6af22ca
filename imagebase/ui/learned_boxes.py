"""Suggestions learned while labelling, as this session has them on screen.

Learning goes on in the background. What is on screen stays as it was, so that
approving an image saves the boxes that a person has seen.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import streamlit as st

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.annotation.coverage import is_inside
from imagebase.detection.merge import still_suggested
from imagebase.geometry import as_xyxy, pairwise_iou
from imagebase.jobs.learning import TAUGHT_ID, Learned
from imagebase.learning.choice import ONE_OBJECT_IOU, RUN, Found
from imagebase.learning.schedule import QUICK
from imagebase.store.learning import LearningState
from imagebase.ui import services, state

_ON_SCREEN: Final = "imagebase.learned.on_screen"
_REVISION: Final = "imagebase.learned.revision"
_BEGUN: Final = -1  # no revision: a person has begun with the image
_KEPT: Final = 64
# What was on screen of an image before; the browser may still show it.
_EARLIER: Final = "imagebase.learned.earlier"
_EARLIER_KEPT: Final = 4


def follow(record: ImageRecord, following: Sequence[str]) -> None:
    """Learn from the dataset in the background, and show what is known of an image.

    Args:
        record: of the image on screen.
        following: images that come next.
    """
    scope = state.scope()
    if services.store().learning(scope).state is LearningState.OFF:
        st.session_state.pop(_ON_SCREEN, None)
        return
    services.learner().follow(scope, [record.image_id, *following])
    if is_news(record):
        show([record.image_id])
    note_on_screen(record)


def note_on_screen(record: ImageRecord) -> None:
    """Note that an image is on screen, and the revision in which it came there."""
    before = _came_as()
    if before is None or before[:2] != _key(record.image_id):
        st.session_state[_REVISION] = (*_key(record.image_id), record.revision)


def show_ahead(image_ids: Iterable[str]) -> None:
    """Put what was learned by now on images that the browser may show next."""
    if services.store().learning(state.scope()).state is not LearningState.OFF:
        show(image_ids)


def is_news(record: ImageRecord) -> bool:
    """Say whether the image on screen is to show something else than it does."""
    scope = state.scope()
    learned = services.learner().learned(scope, record.image_id)
    shown = _on_screen().get(_key(record.image_id))
    before = _came_as()
    if before is None or before[:2] != _key(record.image_id):
        return True
    if learned is None or record.status is ReviewStatus.APPROVED:
        return False
    is_changed = before[2] != record.revision
    is_quick = services.learner().status(scope).images <= QUICK and not is_changed
    return shown is None or (is_quick and shown.version != learned.version)


def show(image_ids: Iterable[str]) -> None:
    """Put what was learned by now on the screen of this session."""
    scope, on_screen = state.scope(), _on_screen()
    for image_id in image_ids:
        before = on_screen.pop(_key(image_id), None)
        learned = services.learner().learned(scope, image_id)
        if learned is not None:
            on_screen[_key(image_id)] = learned
            if before is not None and _name(before) != _name(learned):
                _keep_earlier(image_id, before)
    while len(on_screen) > _KEPT:
        del on_screen[next(iter(on_screen))]


def _keep_earlier(image_id: str, learned: Learned) -> None:
    earlier = _earlier()
    of_image = [*earlier.pop(_key(image_id), ()), learned]
    earlier[_key(image_id)] = of_image[-_EARLIER_KEPT:]
    while len(earlier) > _KEPT:
        del earlier[next(iter(earlier))]


def stay(image_id: str, name: str) -> None:
    """Keep on screen what was there when a person began with an image.

    name: as of `name_of`; what is not known any more stays away.
    """
    key = _key(image_id)
    st.session_state[_REVISION] = (*key, _BEGUN)
    on_screen = _on_screen()
    now = on_screen.get(key)
    before = next((one for one in _earlier().get(key, ()) if _name(one) == name), None)
    if now is not None and before is not None and _name(now) != name:
        on_screen[key] = before


def name_of(image_id: str) -> str:
    """Return a name for what is on screen of an image by what was learned, or empty."""
    learned = _on_screen().get(_key(image_id))
    return "" if learned is None else _name(learned)


def _name(learned: Learned) -> str:
    boxes, choice = learned.boxes, learned.choice
    digest = hashlib.sha256(boxes.xyxy.tobytes() + boxes.confidence.tobytes())
    chosen = (boxes.label.tolist(), sorted(choice.model.items()))
    digest.update(repr((chosen, sorted(choice.unwanted))).encode())
    return digest.hexdigest()[:12]


def suggestions(
    record: ImageRecord, of_run: tuple[Annotation, ...]
) -> tuple[Annotation, ...]:
    """Return the suggestions for an image, those of the last run among them.

    A label is suggested by the model that finds it best; one that nobody wanted, by
    none.
    """
    learned = _on_screen().get(_key(record.image_id))
    if learned is None or record.status is ReviewStatus.APPROVED:
        return of_run
    own = _annotations(learned, record)
    choice = learned.choice
    others = [
        box
        for box in of_run
        if box.label not in choice.unwanted and choice.model.get(box.label, RUN) == RUN
    ]
    return (*_apart_from(others, own), *own)


def seen(record: ImageRecord) -> Found:
    """Return all that the models learned here see in an image, sure or not."""
    learned = _on_screen().get(_key(record.image_id))
    return Found.of([]) if learned is None else _wanted(learned.seen, record)


def _came_as() -> tuple[str, str, int] | None:
    """Return the image on screen, and its revision when it came there."""
    came: tuple[str, str, int] | None = st.session_state.get(_REVISION)
    return came


def _key(image_id: str) -> tuple[str, str]:
    return state.scope().dataset_id, image_id  # one image may be in several


def _earlier() -> dict[tuple[str, str], list[Learned]]:
    earlier: dict[tuple[str, str], list[Learned]] = st.session_state.setdefault(
        _EARLIER, {}
    )
    return earlier


def _on_screen() -> dict[tuple[str, str], Learned]:
    on_screen: dict[tuple[str, str], Learned] = st.session_state.setdefault(
        _ON_SCREEN, {}
    )
    return on_screen


def _annotations(learned: Learned, record: ImageRecord) -> tuple[Annotation, ...]:
    boxes = _wanted(learned.boxes, record)
    found: list[Annotation] = []
    rows = (boxes.xyxy.tolist(), boxes.confidence.tolist(), boxes.label.tolist())
    for xyxy, confidence, label in zip(*rows, strict=True):
        model_id = learned.model_id.get(label, TAUGHT_ID)
        annotation = Annotation(
            box=Box(*xyxy),
            label=label,
            source=Source.MODEL,
            confidence=confidence,
            model_id=model_id,
            changed_by=model_id,
        )
        found.append(annotation)
    return still_suggested(record, found)


def _wanted(boxes: Found, record: ImageRecord) -> Found:
    """Leave out boxes in ignore areas, and of labels that are called otherwise now."""
    shown = services.store().labels(state.scope()).shown_names
    boxes = boxes.rows(np.isin(boxes.label, shown))
    if record.ignored:
        boxes = boxes.rows(~is_inside(boxes.xyxy, record.ignored, record.size))
    return boxes


def _apart_from(
    boxes: Sequence[Annotation], others: Sequence[Annotation]
) -> list[Annotation]:
    """Return the boxes that are of no object which one of the others is of."""
    if not boxes or not others:
        return list(boxes)
    iou = pairwise_iou(
        as_xyxy([one.box for one in boxes]), as_xyxy([one.box for one in others])
    )
    return [
        boxes[row] for row in np.flatnonzero(iou.max(axis=1) < ONE_OBJECT_IOU).tolist()
    ]
