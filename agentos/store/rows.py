"""Between a row of the database and its class: adding, finding, reading. Core statements only.

The ORM's unit of work costs two to three times as much per row (measured on SQLite with full
durability), and a short transaction is what keeps one writer fair.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Executable, Table, bindparam, select, update

from agentos.domain.row import Row
from agentos.errors import NotFound
from agentos.store.prepared import Prepared

R = TypeVar("R", bound=Row)


def table_of(kind: type[Row]) -> Table:
    """The Core table behind a row class."""
    return cast(Table, kind.__table__)  # type: ignore[attr-defined]


@cache
def _names(table: Table) -> list[str]:
    """Its columns, but for the id, which the database gives."""
    return [column.name for column in table.columns if column.name != "id"]


def _values(row: Row) -> dict[str, Any]:
    inside = row.__dict__  # past the ORM's descriptors, which take ten times as long
    return {name: inside.get(name) for name in _names(table_of(type(row)))}


@cache
def _by_id(table: Table) -> Prepared:
    return Prepared(select(table).where(table.c.id == bindparam("row_id", type_=table.c.id.type)))


@cache
def _insert(table: Table, *, returning: bool) -> Prepared:
    values = {name: bindparam(name, type_=table.c[name].type) for name in _names(table)}
    statement = table.insert().values(values)
    return Prepared(statement.returning(table.c.id) if returning else statement)


@cache
def _change(table: Table, names: tuple[str, ...]) -> Prepared:
    """Built once for each set of columns."""
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    row_id = bindparam("row_id", type_=table.c.id.type)
    return Prepared(update(table).where(table.c.id == row_id).values(values))


def _set_id(row: Row, row_id: int) -> None:
    setattr(row, "id", row_id)  # noqa: B010 - the base class of the rows has no id


def add(connection: Connection, row: R) -> R:
    """Insert a row; returns it with its id."""
    table = table_of(type(row))
    if "id" not in table.columns:
        _insert(table, returning=False).run(connection, _values(row))
    elif connection.dialect.name == "sqlite":
        _set_id(row, _insert(table, returning=False).run(connection, _values(row)).lastrowid)
    else:
        made = _insert(table, returning=True).run(connection, _values(row)).fetchone()
        _set_id(row, made[0])
    return row


def add_once(connection: Connection, row: R, *, unique: Sequence[str]) -> R | None:
    """Insert a row unless one with the same unique columns is there; None when it is."""
    table = table_of(type(row))
    # Each only where it is used: Postgres brings a tenth of a second of types along.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement = dialect.insert(table).values(**_values(row))
    statement = statement.on_conflict_do_nothing(index_elements=list(unique))
    made = connection.execute(statement.returning(table.c.id)).first()
    if made is None:
        return None
    _set_id(row, made[0])
    return row


def fetch(connection: Connection, kind: type[R], statement: Executable) -> list[R]:
    """All rows of a statement, as instances of their class."""
    return [kind.read(row._mapping) for row in connection.execute(statement)]


def fetch_one(connection: Connection, kind: type[R], statement: Executable) -> R | None:
    """The first row of a statement, or None."""
    row = connection.execute(statement).first()
    return None if row is None else kind.read(row._mapping)


def find(connection: Connection, kind: type[R], row_id: int) -> R | None:
    """The row with this id, or None."""
    found = _by_id(table_of(kind)).fetch(connection, kind, {"row_id": row_id})
    return found[0] if found else None


def get(connection: Connection, kind: type[R], row_id: int) -> R:
    """The row with this id. Raises NotFound."""
    row = find(connection, kind, row_id)
    if row is None:
        raise NotFound(noun=table_of(kind).name, name=row_id)
    return row


def change(connection: Connection, kind: type[Row], row_id: int, **values: Any) -> bool:
    """Set columns of one row; whether it was there."""
    told = {f"new_{name}": value for name, value in values.items()}
    told["row_id"] = row_id
    return bool(_change(table_of(kind), tuple(values)).run(connection, told).rowcount == 1)


def newest(connection: Connection, kind: type[R], *, limit: int, **equals: Any) -> list[R]:
    """The newest rows first, filtered by columns; a filter of None is no filter."""
    table = table_of(kind)
    statement = select(table).order_by(table.c.id.desc()).limit(limit)
    for name, value in equals.items():
        if value is not None:
            statement = statement.where(table.c[name] == value)
    return fetch(connection, kind, statement)
