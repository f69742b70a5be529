"""Many rows as one parameter: whatever their number, the statement is the same, and PostgreSQL has its plan already."""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Integer, Text, Uuid, bindparam, column, func, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

UUIDS, INSTANTS, TEXTS, INTEGERS = Uuid(), DateTime(timezone=True), Text(), Integer()


def rows_of(name: str, **columns: tuple[TypeEngine[Any], Sequence[Any]]) -> TableValuedAlias:
    """A table of these columns, each with its type and its values, all of one length."""
    arrays = [literal(list(values), ARRAY(kind)) for kind, values in columns.values()]
    described = [column(each, kind) for each, (kind, _) in columns.items()]
    return func.unnest(*arrays).table_valued(*described, name=name).render_derived()


def given_rows(name: str, **columns: TypeEngine[Any]) -> TableValuedAlias:
    """The same for a statement that is made once: its values are given when it is executed, by `values_of`."""
    arrays = [bindparam(f"{name}_{column}", type_=ARRAY(kind)) for column, kind in columns.items()]
    described = [column(each, kind) for each, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*described, name=name).render_derived()


def values_of(name: str, **columns: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """The parameters of `given_rows`."""
    return {f"{name}_{column}": list(values) for column, values in columns.items()}


def as_it_is(value: StrEnum) -> Any:
    """A value that stands in the statement itself, so that a plan for all values can use what is true of this one."""
    return literal(value.value, Text(), literal_execute=True)


def as_they_are(values: Iterable[StrEnum]) -> list[Any]:
    """The same of some."""
    return [as_it_is(value) for value in sorted(values)]


def in_rows(found: ColumnElement[Any] | Any, values: Collection[Any]) -> ColumnElement[bool]:
    """Whether it is one of the values."""
    return found == func.any(literal(list(values), ARRAY(found.type)))
