"""Many rows as one parameter: whatever their number, the statement is the same, and PostgreSQL has its plan already."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Integer, Text, Uuid, column, func, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

UUIDS, INSTANTS, TEXTS, INTEGERS = Uuid(), DateTime(timezone=True), Text(), Integer()


def rows_of(name: str, **columns: tuple[TypeEngine[Any], Sequence[Any]]) -> TableValuedAlias:
    """A table of these columns, each with its type and its values, all of one length."""
    arrays = [literal(list(values), ARRAY(kind)) for kind, values in columns.values()]
    described = [column(each, kind) for each, (kind, _) in columns.items()]
    return func.unnest(*arrays).table_valued(*described, name=name).render_derived()


def in_rows(found: ColumnElement[Any] | Any, values: Collection[Any]) -> ColumnElement[bool]:
    """Whether it is one of the values."""
    return found == func.any(literal(list(values), ARRAY(found.type)))
