"""Owners: a team, or one visitor of the demo whose things expire."""

from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from imagebase.annotation import utc_now
from imagebase.store.part import StorePart, files_lock, insert_or_skip
from imagebase.store.scope import check_owner_id
from imagebase.store.tables import owners


def insert_owner(connection: Connection, owner_id: str) -> None:
    """Make an owner that never expires, unless it is there already."""
    row = {"owner_id": check_owner_id(owner_id), "created_at": utc_now()}
    connection.execute(insert_or_skip(connection.dialect, owners).values(**row))


class Owners(StorePart):
    """Those whom datasets belong to."""

    def ensure_owner(self, owner_id: str, *, expires_at: datetime | None) -> None:
        """Make an owner where there is none, and say when it expires; None is never.

        Raises:
            ValueError: the id has other characters than letters, digits, `-` and `_`.
        """
        with self._database.write() as connection:
            insert_owner(connection, owner_id)
            self._set_expiry(connection, owner_id, expires_at)

    def touch(self, owner_id: str, *, expires_at: datetime | None) -> bool:
        """Put off the moment an owner expires; False where there is no such owner."""
        with self._database.write() as connection:
            return self._set_expiry(connection, owner_id, expires_at)

    def expired_owners(self, now: datetime) -> list[str]:
        """Return the owners that expired by this moment, the oldest first."""
        query = (
            select(owners.c.owner_id)
            .where(owners.c.expires_at <= now)
            .order_by(owners.c.expires_at)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def delete_owner(self, owner_id: str) -> None:
        """Delete an owner with all its datasets, rows and files."""
        self._delete_owner(owner_id)

    def delete_expired_owners(self, now: datetime | None = None) -> list[str]:
        """Delete the owners that expired by this moment, and return their ids."""
        moment = now or utc_now()
        return [
            owner_id
            for owner_id in self.expired_owners(moment)
            if self._delete_owner(owner_id, expired_at=moment)
        ]

    def _delete_owner(
        self, owner_id: str, *, expired_at: datetime | None = None
    ) -> bool:
        """Delete rows, then files; one that was put off meanwhile stays."""
        which = [owners.c.owner_id == check_owner_id(owner_id)]
        if expired_at is not None:
            which.append(owners.c.expires_at <= expired_at)
        with self._database.write() as connection:
            if not connection.execute(delete(owners).where(*which)).rowcount:
                return False
        with self._database.write(files_lock(owner_id)) as connection:
            known = select(owners.c.owner_id).where(owners.c.owner_id == owner_id)
            # A visitor may be back already; then new images may be there.
            if connection.scalar(known) is None:
                self._files.delete_owner(owner_id)
        return True

    @staticmethod
    def _set_expiry(
        connection: Connection, owner_id: str, expires_at: datetime | None
    ) -> bool:
        changed = connection.execute(
            update(owners)
            .where(owners.c.owner_id == owner_id)
            .values(expires_at=expires_at)
        )
        return changed.rowcount > 0
