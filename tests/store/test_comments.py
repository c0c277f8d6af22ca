"""Comments: open or resolved, and one with the reviews they belong to."""

from dataclasses import replace

import pytest

from imagebase.annotation import ImageRecord
from imagebase.annotation.areas import Point, Shape, ShapeKind
from imagebase.editing.records import approve, reject
from imagebase.errors import EditError, NotFoundError
from imagebase.store import Comment, Scope, Store
from tests.store.fixtures import add_image, box


@pytest.fixture
def image(store: Store, scope: Scope) -> ImageRecord:
    return add_image(store, scope)


def said(store: Store, scope: Scope, image: ImageRecord) -> list[tuple[str, bool]]:
    """Return the words on an image and whether they are open still."""
    found = store.comments(scope, image.image_id)
    return [(comment.text, comment.is_open) for comment in found]


def rejected(store: Store, scope: Scope, image: ImageRecord, why: str) -> ImageRecord:
    now = store.record(scope, image.image_id)
    return store.save(scope, reject(now, comment=why))


def approved(store: Store, scope: Scope, image: ImageRecord) -> ImageRecord:
    now = store.record(scope, image.image_id)
    return store.save(scope, approve(now, who=scope.who))


def test_comment_is_open_until_somebody_resolves_it(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    made = store.add_comment(scope, image.image_id, "  Is that a <dog>?\n")
    assert (made.text, made.who, made.is_open) == ("Is that a <dog>?", "ann", True)
    bob = replace(scope, who="bob")
    done = store.resolve_comment(bob, made.comment_id)
    assert (done.resolved_by, done.is_open) == ("bob", False)
    assert done.resolved_at is not None
    assert done.resolved_at >= done.created_at
    assert store.comments(scope, image.image_id) == [done]
    assert store.resolve_comment(scope, made.comment_id) == done
    assert store.reopen_comment(scope, made.comment_id) == made


def test_open_comments_are_counted_by_image(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    other = add_image(store, scope, "dog.jpg")
    first = store.add_comment(scope, image.image_id, "one")
    store.add_comment(scope, image.image_id, "two")
    gone = store.add_comment(scope, other.image_id, "three")
    store.resolve_comment(scope, gone.comment_id)
    assert store.open_comment_counts(scope) == {image.image_id: 2}
    store.resolve_comment(scope, first.comment_id)
    assert store.open_comment_counts(scope) == {image.image_id: 1}


@pytest.mark.parametrize("text", ["", " \n", "\0", "a" * 2_001])
def test_comment_that_says_nothing_or_too_much_is_refused(
    store: Store, scope: Scope, image: ImageRecord, text: str
) -> None:
    with pytest.raises(EditError):
        store.add_comment(scope, image.image_id, text)
    assert said(store, scope, image) == []


def test_comment_needs_its_image_and_its_dataset(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    with pytest.raises(NotFoundError, match="image is no longer in the dataset"):
        store.add_comment(scope, "0" * 64, "hello")
    made = store.add_comment(scope, image.image_id, "hello")
    created = store.create_dataset(scope.owner_id, "Other", who="ann")
    other = replace(scope, dataset_id=created.dataset_id)
    for ask in (store.resolve_comment, store.reopen_comment):
        with pytest.raises(NotFoundError, match="comment no longer exists"):
            ask(other, made.comment_id)
    assert store.comments(other, image.image_id) == []


def test_rejection_opens_a_comment_and_its_undo_takes_it_back(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    store.add_comment(scope, image.image_id, "Look at this.")
    rejected(store, scope, image, "Wheel cut off")
    words = [("Look at this.", True), ("Wheel cut off", True)]
    assert said(store, scope, image) == words
    store.undo(scope)
    assert said(store, scope, image) == words[:1]
    store.redo(scope)
    assert said(store, scope, image) == words
    assert store.record(scope, image.image_id).comment == "Wheel cut off"


def test_approval_resolves_what_is_open_and_its_undo_opens_just_that(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    by_hand = store.add_comment(scope, image.image_id, "by hand")
    store.resolve_comment(scope, by_hand.comment_id)
    rejected(store, scope, image, "wrong")
    approved(store, scope, image)
    assert said(store, scope, image) == [("by hand", False), ("wrong", False)]
    store.undo(scope)
    assert said(store, scope, image) == [("by hand", False), ("wrong", True)]
    store.undo(scope)
    assert said(store, scope, image) == [("by hand", False)]


def test_what_was_opened_again_by_hand_is_not_the_approvals_any_more(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    made = store.add_comment(scope, image.image_id, "hm")
    approved(store, scope, image)
    store.reopen_comment(scope, made.comment_id)
    done = store.resolve_comment(scope, made.comment_id)
    store.undo(scope)
    assert store.comments(scope, image.image_id) == [done]


def test_comments_stay_open_while_a_rejected_image_is_edited(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    back = rejected(store, scope, image, "wrong")
    edited = store.save(scope, replace(back, annotations=(box(),)))
    store.save(scope, replace(edited, tags=("night",)))
    assert said(store, scope, image) == [("wrong", True)]
    store.undo(scope)
    store.undo(scope)
    assert said(store, scope, image) == [("wrong", True)]


def test_same_words_are_not_open_twice(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    store.add_comment(scope, image.image_id, "wrong")
    rejected(store, scope, image, "wrong")
    assert said(store, scope, image) == [("wrong", True)]
    store.undo(scope)
    assert said(store, scope, image) == [("wrong", True)]


def test_images_rejected_as_one_change_lose_their_comments_as_one(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    both = [image, add_image(store, scope, "dog.jpg")]
    store.save_many(scope, [reject(record, comment="dark") for record in both])
    assert store.open_comment_counts(scope) == {record.image_id: 1 for record in both}
    store.undo(scope)
    assert store.open_comment_counts(scope) == {}


def test_comments_go_with_their_image(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    made: Comment = store.add_comment(scope, image.image_id, "hello")
    store.remove_images(scope, [image.image_id])
    with pytest.raises(NotFoundError):
        store.resolve_comment(scope, made.comment_id)


CIRCLE = Shape(ShapeKind.ELLIPSE, (Point(5, 5), Point(20.25, 12)))
SCRIBBLE = Shape(ShapeKind.BRUSH, (Point(1, 2), Point(30, 40)), 3)


def marked(store: Store, scope: Scope, image: ImageRecord) -> ImageRecord:
    now = store.record(scope, image.image_id)
    return store.save(scope, reject(now, comment="cut off", marks=[CIRCLE, SCRIBBLE]))


def test_marks_are_kept_with_the_rejection(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    marked(store, scope, image)
    (comment,) = store.comments(scope, image.image_id)
    assert (comment.text, comment.marks, comment.is_open) == (
        "cut off",
        (CIRCLE, SCRIBBLE),
        True,
    )
    assert store.record(scope, image.image_id).marks == ()


def test_undo_takes_marks_back_and_redo_brings_them_again(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    marked(store, scope, image)
    store.undo(scope)
    assert store.comments(scope, image.image_id) == []
    store.redo(scope)
    (comment,) = store.comments(scope, image.image_id)
    assert comment.marks == (CIRCLE, SCRIBBLE)
    store.undo(scope)
    assert store.comments(scope, image.image_id) == []


def test_the_same_words_with_marks_are_said_again(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    rejected(store, scope, image, "cut off")
    marked(store, scope, image)
    found = store.comments(scope, image.image_id)
    assert [len(comment.marks) for comment in found] == [0, 2]
    store.undo(scope)
    assert [comment.marks for comment in store.comments(scope, image.image_id)] == [()]


def test_marks_are_done_with_when_the_image_is_approved(
    store: Store, scope: Scope, image: ImageRecord
) -> None:
    marked(store, scope, image)
    approved(store, scope, image)
    (comment,) = store.comments(scope, image.image_id)
    assert not comment.is_open
    assert comment.marks == (CIRCLE, SCRIBBLE)


def test_marks_that_cannot_be_kept_are_refused(image: ImageRecord) -> None:
    with pytest.raises(EditError, match="at most 50"):
        reject(image, comment="cut off", marks=[CIRCLE] * 51)
    beside = Shape(ShapeKind.BRUSH, (Point(900, 900),), 3)
    with pytest.raises(EditError, match="Nothing"):
        reject(image, comment="cut off", marks=[beside])
