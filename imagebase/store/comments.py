"""Comments on images, open until someone resolves them.

A rejection opens a comment and an approval resolves the open ones, in the transaction
that saves the image. Both are written down with the id of the change: undo then finds
exactly what that change did, and a comment that someone made, resolved or reopened
by hand is never touched by it. `ImageRecord.comment` stays the last rejection's words.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from imagebase.annotation import ReviewStatus, clean_text, new_id, utc_now
from imagebase.annotation.areas import Shape, shape_of_json
from imagebase.editing.records import MAX_COMMENT_LENGTH
from imagebase.errors import EditError, NotFoundError
from imagebase.store.column_types import AnyRow, AnySelect, JsonObject
from imagebase.store.diff import REVIEW, Difference
from imagebase.store.mapping import StoredImage
from imagebase.store.record_reader import GONE
from imagebase.store.repository import StorePart, image_keys
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import comments, images

_REJECTED: Final = ReviewStatus.REJECTED.value
_APPROVED: Final = ReviewStatus.APPROVED.value

# An image with what changes on it.
Reviewed = tuple[StoredImage, Collection[Difference]]


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on an image; resolved_* are None while it is open.

    marks: what they drew on it, in its pixels.
    """

    comment_id: str
    image_id: str
    text: str
    who: str
    created_at: datetime
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    marks: tuple[Shape, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None


class Comments(StorePart):
    """What people say of images to one another."""

    def add_comment(self, scope: Scope, image_id: str, text: str) -> Comment:
        """Say something of an image; it is open.

        Raises:
            EditError: it is blank, or longer than 2,000 characters.
            NotFoundError: the dataset has no such image.
        """
        text = checked_comment(text)
        with self._writing(scope) as connection:
            keys = image_keys(connection, scope, [image_id])
            if not keys:
                raise NotFoundError(GONE)
            comment_id = _insert(connection, scope, keys[image_id], text)
            return _known(connection, scope, comment_id)

    def resolve_comment(self, scope: Scope, comment_id: str) -> Comment:
        """Resolve a comment; one that is resolved stays unchanged.

        Raises:
            NotFoundError: the dataset has no such comment.
        """
        with self._writing(scope) as connection:
            known = _known(connection, scope, comment_id)
            if known.is_open:
                _set_resolved(connection, [comment_id], who=scope.who)
            return _known(connection, scope, comment_id)

    def reopen_comment(self, scope: Scope, comment_id: str) -> Comment:
        """Reopen a comment; an open one stays unchanged.

        Raises:
            NotFoundError: the dataset has no such comment.
        """
        with self._writing(scope) as connection:
            _known(connection, scope, comment_id)
            _set_open(connection, [comment_id])
            return _known(connection, scope, comment_id)

    def comments(self, scope: Scope, image_id: str) -> list[Comment]:
        """Return all comments on an image, the oldest first."""
        query = _comments_of(scope).where(images.c.image_id == image_id)
        order = (comments.c.created_at, comments.c.comment_id)
        with self._reading(scope) as connection:
            rows = connection.execute(query.order_by(*order))
            return [_as_comment(row) for row in rows]

    def open_comment_counts(self, scope: Scope) -> dict[str, int]:
        """Return how many open comments each image has that has any."""
        query = (
            select(images.c.image_id, func.count())
            .join(comments, comments.c.image_key == images.c.image_key)
            .where(
                comments.c.dataset_id == scope.dataset_id,
                comments.c.resolved_at.is_(None),
            )
            .group_by(images.c.image_id)
        )
        with self._reading(scope) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


def checked_comment(text: str) -> str:
    """Return a comment fit to be kept, without blanks around it.

    Raises:
        EditError: nothing is left of it, or it is longer than 2,000 characters.
    """
    comment = clean_text(text).strip()
    if not comment:
        raise EditError("Write a few words first; the comment was empty.")
    if len(comment) > MAX_COMMENT_LENGTH:
        raise EditError(f"Say it in at most {MAX_COMMENT_LENGTH:,} characters.")
    return comment


def follow_reviews(
    connection: Connection, scope: Scope, change_id: str, reviewed: Iterable[Reviewed]
) -> None:
    """Write what the reviews of a change, done or done again, mean for comments."""
    approved = []
    for stored, before, after in _reviews(reviewed):
        if after["status"] == _REJECTED and _says_other(before, after):
            _say_once(connection, scope, change_id, stored.image_key, after)
        elif after["status"] == _APPROVED != before["status"]:
            approved.append(stored.image_key)
    for chunk in chunks(approved):
        still_open = connection.scalars(
            select(comments.c.comment_id).where(
                comments.c.image_key.in_(chunk), comments.c.resolved_at.is_(None)
            )
        ).all()
        _set_resolved(connection, still_open, who=scope.who, change_id=change_id)


def take_back_reviews(
    connection: Connection, change_id: str, reviewed: Iterable[Reviewed]
) -> None:
    """Undo what an undone change did to comments.

    Args:
        reviewed: what the undo itself changes: from what the change left behind.
    """
    for stored, before, after in _reviews(reviewed):
        here = comments.c.image_key == stored.image_key
        if before["status"] == _REJECTED and _says_other(before, after):
            connection.execute(
                delete(comments).where(here, comments.c.made_in == change_id)
            )
        elif before["status"] == _APPROVED != after["status"]:
            by_it = select(comments.c.comment_id).where(
                here, comments.c.resolved_in == change_id
            )
            _set_open(connection, connection.scalars(by_it).all())


def _reviews(
    reviewed: Iterable[Reviewed],
) -> Iterable[tuple[StoredImage, JsonObject, JsonObject]]:
    for stored, differences in reviewed:
        for difference in differences:
            before, after = difference.before, difference.after
            if difference.kind == REVIEW and before is not None and after is not None:
                yield stored, before, after


def _says_other(a: JsonObject, b: JsonObject) -> bool:
    """Say whether two reviews differ in more than the tags."""
    return any(a.get(name) != b.get(name) for name in ("status", "comment", "marks"))


def _say_once(
    connection: Connection,
    scope: Scope,
    change_id: str,
    image_key: int,
    review: JsonObject,
) -> None:
    """Open a comment, unless the very same words are open on the image already.

    Drawn marks are never the same.
    """
    text, marks = review["comment"].strip(), review.get("marks")
    same = select(comments.c.comment_id).where(
        comments.c.image_key == image_key,
        comments.c.resolved_at.is_(None),
        comments.c.text == text,
    )
    if text and (marks or connection.execute(same).first() is None):
        _insert(connection, scope, image_key, text, change_id=change_id, marks=marks)


def _insert(
    connection: Connection,
    scope: Scope,
    image_key: int,
    text: str,
    *,
    change_id: str | None = None,
    marks: object = None,
) -> str:
    comment_id = new_id()
    connection.execute(
        insert(comments).values(
            comment_id=comment_id,
            dataset_id=scope.dataset_id,
            image_key=image_key,
            text=text,
            who=scope.who,
            created_at=utc_now(),
            made_in=change_id,
            marks=marks,
        )
    )
    return comment_id


def _set_resolved(
    connection: Connection,
    comment_ids: Iterable[str],
    *,
    who: str,
    change_id: str | None = None,
) -> None:
    for chunk in chunks(comment_ids):
        connection.execute(
            update(comments)
            .where(comments.c.comment_id.in_(chunk))
            .values(resolved_by=who, resolved_at=utc_now(), resolved_in=change_id)
        )


def _set_open(connection: Connection, comment_ids: Iterable[str]) -> None:
    for chunk in chunks(comment_ids):
        connection.execute(
            update(comments)
            .where(comments.c.comment_id.in_(chunk))
            .values(resolved_by=None, resolved_at=None, resolved_in=None)
        )


def _comments_of(scope: Scope) -> AnySelect:
    query: AnySelect = select(
        comments.c.comment_id,
        images.c.image_id,
        comments.c.text,
        comments.c.who,
        comments.c.created_at,
        comments.c.resolved_by,
        comments.c.resolved_at,
        comments.c.marks,
    )
    return query.join(images, images.c.image_key == comments.c.image_key).where(
        images.c.dataset_id == scope.dataset_id
    )


def _known(connection: Connection, scope: Scope, comment_id: str) -> Comment:
    query = _comments_of(scope).where(comments.c.comment_id == comment_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("This comment no longer exists; reload the image.")
    return _as_comment(row)


def _as_comment(row: AnyRow) -> Comment:
    comment = Comment(*row[:7])
    return (
        replace(comment, marks=tuple(map(shape_of_json, row[7]))) if row[7] else comment
    )
