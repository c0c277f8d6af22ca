"""Tags proposed from tagged images."""

import time

import numpy as np
import pytest

from imagebase.geometry import FloatArray
from imagebase.learning.proposed_tags import proposed_tags

SIDE = 64


def vectors_of(kinds: list[int], *, noise: float = 0.6) -> FloatArray:
    """Return unit vectors around one direction for each kind of image."""
    random = np.random.default_rng(3)
    directions = random.standard_normal((4, SIDE))
    rows = directions[kinds] + noise * random.standard_normal((len(kinds), SIDE))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors: FloatArray = rows.astype(np.float32)
    return vectors


KINDS = [0] * 30 + [1] * 30
NAMES = ("street", "beach")
TAGGED = {*range(10), *range(30, 40)}


def tags_of(tagged: set[int]) -> list[tuple[str, ...]]:
    return [(NAMES[kind],) if i in tagged else () for i, kind in enumerate(KINDS)]


def test_twenty_tagged_images_tell_the_others() -> None:
    found = proposed_tags(vectors_of(KINDS), tags_of(TAGGED))
    proposed = [[tag for tag, _ in one] for one in found]
    untagged = [i for i in range(len(KINDS)) if i not in TAGGED]
    right = [proposed[i] == [NAMES[KINDS[i]]] for i in untagged]
    assert np.mean(right) > 0.9
    assert all(0 < sure < 1 for one in found for _, sure in one)
    assert not any(proposed[i] for i in TAGGED)


def test_several_tags_of_an_image_are_each_proposed() -> None:
    kinds = [0, 1, 2, 3] * 15
    meaning = {0: ("day", "street"), 1: ("day", "beach"), 2: ("night",), 3: ("fog",)}
    tags = [meaning[kind] if i < 32 else () for i, kind in enumerate(kinds)]
    found = proposed_tags(vectors_of(kinds, noise=0.3), tags)
    proposed = [{tag for tag, _ in one} for one in found]
    assert proposed[32] == {"day", "street"}
    assert proposed[33] == {"day", "beach"}
    assert proposed[34] == {"night"}


def test_tag_that_was_forgotten_is_proposed_on_a_tagged_image() -> None:
    tags = tags_of(TAGGED)
    tags[3] = ("blurred",)
    (proposal,) = proposed_tags(vectors_of(KINDS, noise=0.3), tags)[3]
    assert proposal.tag == "street"


@pytest.mark.parametrize(
    "tagged",
    [set(), set(range(4)) | set(range(30, 35)), set(range(15))],
    ids=["none", "nine", "of one kind"],
)
def test_too_few_examples_propose_nothing(tagged: set[int]) -> None:
    assert not any(proposed_tags(vectors_of(KINDS), tags_of(tagged)))


def test_many_examples_take_no_longer_than_a_page() -> None:
    kinds = [0, 1, 2, 3] * 500
    tags: list[tuple[str, ...]] = [
        (f"kind {kind}", str(i % 16)) for i, kind in enumerate(kinds)
    ]
    tags[-40:] = [()] * 40
    began = time.process_time()
    found = proposed_tags(vectors_of(kinds, noise=0.3), tags)
    assert time.process_time() - began < 20
    proposed = [{tag for tag, _ in one} for one in found[-40:]]
    right = [
        f"kind {kind}" in one for kind, one in zip(kinds[-40:], proposed, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_a_rare_tag_among_many_examples_is_proposed_where_it_belongs() -> None:
    kinds = [0 if i % 20 else 1 for i in range(2000)]
    tags = [(NAMES[kind],) if i < 1800 else () for i, kind in enumerate(kinds)]
    found = proposed_tags(vectors_of(kinds, noise=1.2), tags)[1800:]
    beach = [kinds[1800 + i] for i, one in enumerate(found) if "beach" in dict(one)]
    assert len(beach) >= 3
    assert np.mean(beach) >= 0.7


def test_tags_without_a_likeness_are_not_proposed() -> None:
    random = np.random.default_rng(5)
    tags = [(str(random.integers(2)),) if i < 40 else () for i in range(200)]
    found = proposed_tags(vectors_of([0] * 200), tags)
    assert np.mean([bool(one) for one in found[40:]]) < 0.15


def test_no_images_have_no_proposals() -> None:
    assert proposed_tags(np.empty((0, SIDE), np.float32), []) == []
