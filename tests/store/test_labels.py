"""Labels that only grow, what they were called, and what a model's are called here."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from imagebase.annotation.palette import PALETTE
from imagebase.errors import LimitError, StoreError
from imagebase.settings import Settings
from imagebase.store import Scope, Store, open_store
from tests.store.fixtures import add_image, box, scope_of


def test_labels_keep_their_order_and_colour(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["dog", "cat"])
    labels = store.add_labels(scope, ["ant", "dog"])
    assert labels.names == ("dog", "cat", "ant")
    assert [label.colour for label in labels] == list(PALETTE[:3])
    assert store.labels(scope) == labels


def test_label_without_a_name_is_refused(store: Store, scope: Scope) -> None:
    with pytest.raises(StoreError, match="needs a name"):
        store.add_labels(scope, ["cat", "  "])


def test_label_that_no_database_holds_is_cleaned(store: Store, scope: Scope) -> None:
    assert store.add_labels(scope, ["c\0a\ud800t"]).names == ("cat",)


def test_labels_added_at_once_have_each_its_place(store: Store, scope: Scope) -> None:
    wanted = [f"label {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.add_labels(scope, [name, "all"]), wanted))
    assert sorted(store.labels(scope).names) == sorted([*wanted, "all"])


def test_labels_are_as_many_as_may_be(store_settings: Settings) -> None:
    store = open_store(store_settings, max_labels=3)
    scope = scope_of(store, "team", who="ann")
    store.add_labels(scope, ["dog", "cat"])
    with pytest.raises(LimitError, match="at most 3 labels"):
        store.add_labels(scope, ["ant", "bee"])
    record = add_image(store, scope)
    boxes = [box("ant", at=1), box("bee", at=2)]
    with pytest.raises(LimitError):
        store.save(scope, record.with_annotations(boxes))
    assert store.record(scope, record.image_id) == record
    with pytest.raises(LimitError):
        [store.add_label(scope, name) for name in ("ant", "bee")]
    assert store.add_labels(scope, ["ant", "dog"]).names == ("dog", "cat", "ant")
    store.close()


def test_hidden_label_is_shown_again_by_its_name(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["dog", "cat"])
    store.delete_label(scope, 0)
    assert store.labels(scope).shown_names == ("cat",)
    assert store.add_labels(scope, ["dog"]).shown_names == ("dog", "cat")
    assert store.labels(scope).names == ("dog", "cat")


def test_former_name_stands_for_its_label(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["dog", "cat"])
    store.rename_label(scope, 1, "kitten")
    store.rename_label(scope, 1, "puss")
    assert store.former_label_names(scope) == {"cat": "puss", "kitten": "puss"}
    assert store.add_labels(scope, ["cat", "kitten"]).names == ("dog", "puss")


def test_mapping_is_remembered_by_model(store: Store, scope: Scope) -> None:
    assert store.label_mapping(scope, "tiny") == {}
    store.save_label_mapping(scope, "tiny", {"person": "walker", "car": None})
    store.save_label_mapping(scope, "nano", {"person": "human"})
    assert store.label_mapping(scope, "tiny") == {"person": "walker", "car": None}
    store.save_label_mapping(scope, "tiny", {"dog": "d\0og"})
    assert store.label_mapping(scope, "tiny") == {"dog": "dog"}
    assert store.label_mapping(scope, "nano") == {"person": "human"}
    assert store.label_mapping(replace(scope, who="bob"), "tiny") == {"dog": "dog"}


def test_mapping_is_a_datasets_own(store: Store, scope: Scope) -> None:
    store.save_label_mapping(scope, "tiny", {"person": "walker"})
    other = scope_of(store, "team", who="ann")
    assert store.label_mapping(other, "tiny") == {}


def test_mapping_without_a_name_is_refused(store: Store, scope: Scope) -> None:
    store.save_label_mapping(scope, "tiny", {"person": "walker"})
    with pytest.raises(StoreError, match="needs a name"):
        store.save_label_mapping(scope, "tiny", {"person": " "})
    assert store.label_mapping(scope, "tiny") == {"person": "walker"}


def test_mapping_follows_its_labels(store: Store, scope: Scope) -> None:
    store.add_labels(scope, ["walker", "rider"])
    store.save_label_mapping(scope, "tiny", {"person": "walker", "cyclist": "rider"})
    store.rename_label(scope, 0, "pedestrian")
    assert store.label_mapping(scope, "tiny")["person"] == "pedestrian"
    store.merge_label(scope, 1, into=0)
    assert store.label_mapping(scope, "tiny")["cyclist"] == "pedestrian"
    store.undo(scope)
    store.undo(scope)
    expected = {"person": "walker", "cyclist": "rider"}
    assert store.label_mapping(scope, "tiny") == expected


def test_mapping_stays_with_its_label_where_another_one_takes_the_name(
    store: Store, scope: Scope
) -> None:
    store.add_labels(scope, ["walker"])
    store.save_label_mapping(scope, "tiny", {"person": "walker"})
    store.rename_label(scope, 0, "pedestrian")
    store.add_label(scope, "walker")
    assert store.label_mapping(scope, "tiny") == {"person": "pedestrian"}
