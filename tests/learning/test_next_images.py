"""What to label next: unlike what is labelled, and uncertain."""

import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.geometry import FloatArray
from imagebase.learning import next_images
from imagebase.learning.next_images import NextImages


def at(*degrees: float) -> FloatArray:
    """Return unit vectors in these directions."""
    angle = np.deg2rad(np.array(degrees, np.float64))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def unknown(count: int) -> FloatArray:
    return np.full(count, np.nan, np.float32)


def labelled(count: int, *places: int) -> NDArray[np.bool_]:
    return np.isin(np.arange(count), places)


def test_without_labels_the_most_typical_image_is_first() -> None:
    order = NextImages(at(0, 40, 50, 60, 180)).order(labelled(5), unknown(5))
    assert order[0] == 2
    assert order[1] == 4  # and then the furthest from it


def test_each_image_is_the_furthest_from_all_before_it() -> None:
    vectors = at(0, 90, 85, 45, 8)
    order = NextImages(vectors).order(labelled(5, 0), unknown(5))
    assert order.tolist() == [1, 3, 4, 2]


def test_uncertain_images_come_before_equally_distant_ones() -> None:
    vectors = at(0, 30, -30)
    certain = np.array([0, 0, 0.9], np.float32)
    assert NextImages(vectors).order(labelled(3, 0), certain)[0] == 2
    assert NextImages(vectors).order(labelled(3, 0), certain[[0, 2, 1]])[0] == 1


def test_what_is_not_known_to_be_uncertain_counts_as_the_mean() -> None:
    vectors = at(0, 30, -30)
    mixed = np.array([0.1, np.nan, 0.5], np.float32)
    assert NextImages(vectors).order(labelled(3, 0), mixed)[0] == 2


def test_images_beyond_the_most_are_by_their_distance() -> None:
    vectors = at(0, 90, 85, 45, 8)
    order = NextImages(vectors).order(labelled(5, 4), unknown(5), most=1)
    assert order.tolist() == [1, 3, 0, 2]


def test_labelled_images_are_left_out_and_none_is_twice() -> None:
    random = np.random.default_rng(3)
    vectors = random.standard_normal((300, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    done = random.random(300) < 0.3
    order = NextImages(vectors).order(done, unknown(300))
    assert sorted(order.tolist()) == np.flatnonzero(~done).tolist()


def test_an_image_labelled_since_changes_the_order_as_if_computed_anew() -> None:
    vectors = at(0, 90, 85, 45, 8, 200)
    kept = NextImages(vectors)
    kept.order(labelled(6, 0), unknown(6))
    for places in [(0, 5), (0, 1, 5), (1,)]:
        again = NextImages(vectors).order(labelled(6, *places), unknown(6))
        np.testing.assert_array_equal(
            kept.order(labelled(6, *places), unknown(6)), again
        )


def test_no_images_have_no_order() -> None:
    empty = np.zeros((0, 8), np.float32)
    assert NextImages(empty).order(labelled(0), unknown(0)).tolist() == []


@pytest.mark.timeout(20)
def test_twenty_thousand_images_are_ordered_quickly() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((20_000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    done = np.arange(20_000) < 1_000
    assert len(NextImages(vectors).order(done, unknown(20_000))) == 19_000


def test_of_many_labelled_images_the_rest_is_compared_with_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(next_images, "MOST_LABELLED", 3)
    compared: list[int] = []
    distance = NextImages._to

    def counting(self: NextImages, places: NDArray[np.intp]) -> NDArray[np.float32]:
        compared.append(len(places))
        return distance(self, places)

    monkeypatch.setattr(NextImages, "_to", counting)
    orderer = NextImages(at(*range(0, 180, 10)))
    is_labelled = labelled(18, *range(10))
    order = orderer.order(is_labelled, unknown(18), most=1)
    assert (compared[0], order[0]) == (3, 17)
    is_labelled[17] = True
    orderer.order(is_labelled, unknown(18), most=1)
    assert compared[2] == 1  # the one that was labelled since
