"""Model runs and the candidates they found."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from imagebase.annotation import NOT_APPROVED, ReviewStatus
from imagebase.errors import NotFoundError
from imagebase.store import CandidatesKey, Scope, Store, candidates
from tests.store.fixtures import add_image

pytestmark = pytest.mark.dialect

KEY = CandidatesKey("ab" * 32, 416, "f32", "single")


def test_candidates_come_back_in_upload_order(store: Store, scope: Scope) -> None:
    ids = [add_image(store, scope, f"{number}.jpg").image_id for number in range(3)]
    store.put_many(
        scope, KEY, {image_id: image_id.encode() for image_id in reversed(ids)}
    )
    assert store.candidates(scope, KEY) == {
        image_id: image_id.encode() for image_id in ids
    }
    assert list(store.candidates(scope, KEY)) == ids
    assert store.has_candidates(scope, KEY) == set(ids)


def test_candidates_of_all_images_come_in_parts(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CHUNK", 2)
    ids = [add_image(store, scope, f"{number}.jpg").image_id for number in range(3)]
    store.put_many(scope, KEY, {name: name.encode() for name in reversed(ids)})
    first, second = store.each_candidates(scope, KEY)
    assert [*first, *second] == [(name, name.encode()) for name in ids]
    assert len(first) == 2


def test_candidates_of_some_images(store: Store, scope: Scope) -> None:
    ids = [add_image(store, scope, f"{number}.jpg").image_id for number in range(3)]
    store.put_many(scope, KEY, dict.fromkeys(ids, b"blob"))
    assert set(store.candidates(scope, KEY, ids[:2])) == set(ids[:2])
    assert store.candidates(scope, KEY, []) == {}


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, model_sha256="cd" * 32),
        replace(KEY, input_size=608),
        replace(KEY, precision="bf16"),
        replace(KEY, passes="accurate"),
    ],
    ids=["model", "size", "precision", "passes"],
)
def test_each_part_of_the_key_counts(
    store: Store, scope: Scope, other: CandidatesKey
) -> None:
    image_id = add_image(store, scope).image_id
    store.put_many(scope, KEY, {image_id: b"blob"})
    assert store.candidates(scope, other) == {}


def test_newer_candidates_replace_older_ones(store: Store, scope: Scope) -> None:
    image_id = add_image(store, scope).image_id
    store.put_many(scope, KEY, {image_id: b"old"})
    before = store.candidates_version(scope, KEY)
    store.put_many(scope, KEY, {image_id: b"new"})
    assert store.candidates(scope, KEY) == {image_id: b"new"}
    assert store.candidates_version(scope, KEY) != before


def test_images_without_an_answer_are_counted_by_state(
    store: Store, scope: Scope
) -> None:
    records = [add_image(store, scope, f"{number}.jpg") for number in range(3)]
    store.save(scope, replace(records[2], status=ReviewStatus.APPROVED))
    store.put_many(scope, KEY, {records[0].image_id: b"blob"})
    assert store.count_unanswered(scope, KEY) == 2
    assert store.count_unanswered(scope, KEY, statuses=NOT_APPROVED) == 1
    assert store.count_unanswered(scope, replace(KEY, precision="bf16")) == 3


def test_image_that_is_gone_is_reported(store: Store, scope: Scope) -> None:
    image_id = add_image(store, scope).image_id
    kept = store.put_many(scope, KEY, {image_id: b"blob", "0" * 64: b"blob"})
    assert kept == {image_id}


def test_candidates_go_with_their_image(store: Store, scope: Scope) -> None:
    image_id = add_image(store, scope).image_id
    store.put_many(scope, KEY, {image_id: b"blob"})
    store.remove_images(scope, [image_id])
    assert store.has_candidates(scope, KEY) == set()


def test_run_is_noted_from_start_to_end(store: Store, scope: Scope) -> None:
    run_id = store.start_run(scope, model_id="tiny", parameters={"size": 416})
    started = store.runs(scope)[0]
    assert (started.model_id, started.finished_at) == ("tiny", None)
    store.finish_run(scope, run_id, result={"images": 3})
    ended = store.runs(scope)[0]
    assert (ended.result, ended.who) == ({"images": 3}, "ann")
    assert ended.finished_at is not None


def test_unknown_run_cannot_end(store: Store, scope: Scope) -> None:
    with pytest.raises(NotFoundError, match="model run"):
        store.finish_run(scope, "nothing")


def test_answers_are_counted_without_reading_them(store: Store, scope: Scope) -> None:
    asked: list[tuple[str, Any]] = []
    engine = store._database.engine
    event.listen(
        engine,
        "before_cursor_execute",
        lambda conn, cursor, statement, parameters, *rest: asked.append(
            (statement, parameters)
        ),
    )
    store.candidates_version(scope, KEY)
    counting = [one for one in asked if "count" in one[0]]
    if engine.dialect.name != "sqlite":
        pytest.skip("the plan of a nearly empty table says nothing elsewhere")
    with store._database.read() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {counting[0][0]}", counting[0][1]
        )
        steps = [row[3] for row in plan]
    assert "candidates USING COVERING INDEX ix_candidates_answers" in steps[0]
