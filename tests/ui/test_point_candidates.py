"""What the models see on an image, for pointing at it."""

import numpy as np
import pytest

from imagebase.annotation import Box
from imagebase.annotation.areas import rectangle
from imagebase.assist.pointing import ASSIST_MODELS, ranked
from imagebase.detection.candidates import Candidates, pack
from imagebase.detection.detector import LoadedModel
from imagebase.jobs.inference import candidates_key
from imagebase.store import Scope
from imagebase.ui import cache
from tests.app_fixtures import Configure, add_photographs, store
from tests.store.fixtures import scope_of


@pytest.fixture
def scope(configure: Configure) -> Scope:
    """A dataset of photographs, the first of a kitchen."""
    scope = scope_of(store(), "team", who="ann")
    add_photographs(scope)
    return scope


def test_both_models_look_at_an_image_once(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = store().image_ids(scope)[0]
    seen = cache.point_candidates(scope.owner_id, scope.dataset_id, image_id)
    size = store().record(scope, image_id).size
    assert set(seen.view_side) == {max(size)}
    assert ranked(seen, (size.width / 2, size.height / 2), size=size)

    monkeypatch.setattr(LoadedModel, "candidates", None)  # nothing runs again
    again = cache.point_candidates(scope.owner_id, scope.dataset_id, image_id)
    np.testing.assert_array_equal(again.xyxy, seen.xyxy)


def test_stored_candidates_are_used_and_labels_are_those_of_the_dataset(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    store().add_labels(scope, ["aeroplane"])
    image_id = store().image_ids(scope)[0]
    detectors = cache.point_detectors(scope)
    assert [detector.name for detector in detectors] == [*ASSIST_MODELS]
    for detector in detectors:
        found = Candidates(
            np.array([[5, 5, 90, 80]], np.float32),
            np.array([0.5], np.float32),
            np.array([detector.labels.index("airplane")], np.int32),
        )
        key = candidates_key(detector)
        store().put_many(scope, key, {image_id: pack(found)})
    monkeypatch.setattr(LoadedModel, "candidates", None)
    seen = cache.point_candidates(scope.owner_id, scope.dataset_id, image_id)
    assert list(seen.label) == ["aeroplane", "aeroplane"]


def test_nothing_is_suggested_in_ignore_areas(scope: Scope) -> None:
    image_id = store().image_ids(scope)[0]
    width, height = store().record(scope, image_id).size
    left = rectangle(Box(0, 0, width / 2, height))
    store().add_ignore_areas(scope, image_id, [left], all_of_size=False)
    seen = cache.point_candidates(scope.owner_id, scope.dataset_id, image_id)
    middles = (seen.xyxy[:, 0] + seen.xyxy[:, 2]) / 2
    assert len(middles)
    assert (middles >= width / 2 - 1).all()


def test_closer_views_see_what_is_around_a_point(scope: Scope) -> None:
    image_id = store().image_ids(scope)[0]
    size = store().record(scope, image_id).size
    point = (size.width / 2, size.height / 2)
    seen = cache.closer_candidates(scope.owner_id, scope.dataset_id, image_id, point)
    longest = max(size)
    assert set(seen.view_side) <= {longest // 2, longest // 4, longest // 8}
    assert (seen.xyxy >= 0).all()
    assert (seen.xyxy <= np.array([*size, *size])).all()
    half = longest / 4 + 1
    near = np.array([*point, *point]) + half * np.array([-1, -1, 1, 1])
    assert (seen.xyxy[:, :2] >= near[:2]).all()
    assert (seen.xyxy[:, 2:] <= near[2:]).all()
