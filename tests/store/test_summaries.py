"""A dataset at a glance."""

from dataclasses import replace

from imagebase.store import Scope, Store
from tests.store.fixtures import add_image


def test_tags_are_counted_by_image_the_most_frequent_first(
    store: Store, scope: Scope
) -> None:
    assert store.tag_counts(scope) == {}
    for number, tags in enumerate(
        [("rain",), ("night", "rain"), ("night", "rain"), ()]
    ):
        record = add_image(store, scope, f"{number}.jpg")
        store.save(scope, replace(record, tags=tags))
    assert list(store.tag_counts(scope).items()) == [("rain", 3), ("night", 2)]
