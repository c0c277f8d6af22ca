"""Column types that come back as they went in, on SQLite and on PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Row, Select, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from imagebase.annotation import storable_text

Json = None | bool | int | float | str | Sequence[Any] | Mapping[str, Any]
JsonObject = Mapping[str, Any]

AnyRow = Row[*tuple[Any, ...]]
AnySelect = Select[*tuple[Any, ...]]

# SQLite numbers rows by itself only where the key is declared INTEGER; it has 64 bits.
BigKey: Final = BigInteger().with_variant(Integer(), "sqlite")


class CleanText(TypeDecorator[str]):
    """Text without NUL and lone surrogates, which PostgreSQL refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable_text(value)


class UtcTime(TypeDecorator[datetime]):
    """A moment with its zone, in and out in UTC; SQLite itself keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value.astimezone(UTC)


class CleanJson(TypeDecorator[Json]):
    """JSON whose texts are clean; None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: Dialect) -> Json:
        return _cleaned(value)


class MemberText(FunctionElement[str]):
    """A member of a JSON object as text, by its name; NULL where it is not there.

    `MemberText(column, name)`; true and false are the words.
    """

    name = "member_text"
    type = Text()
    inherit_cache = True


@compiles(MemberText, "postgresql")
def _on_postgresql(element: MemberText, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    column, name = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} ->> {name})"


@compiles(MemberText, "sqlite")
def _on_sqlite(element: MemberText, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    column, name = (compiler.process(clause, **options) for clause in element.clauses)
    # A path of JSON could not hold every name, and true would come out as 1.
    return (
        "(SELECT CASE WHEN type IN ('true', 'false') THEN type"
        f" ELSE CAST(atom AS TEXT) END FROM json_each({column}) WHERE key = {name})"
    )


def _cleaned(value: Json) -> Json:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_cleaned(item) for item in value]
    return value
