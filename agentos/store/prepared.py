"""Statements that are compiled once, for the hottest ways through the rows.

Core finds out at each execution what a statement means: a cache key, a context, processors. That
takes five times as long as SQLite takes to do it. A prepared statement keeps the text and the
processors of its values and goes straight to the driver, on the same connection, in the same
transaction, with the same errors.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ClauseElement, Connection, Dialect, Float, Select
from sqlalchemy.exc import DBAPIError

from agentos.domain.row import Row

R = TypeVar("R", bound=Row)
Processor = Callable[[Any], Any]


class Prepared:
    """One statement, with its values by name. It may not hold lists of unknown length."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: dict[str, Any]) -> Any:
        """Execute it; returns the driver's cursor."""
        compiled = self._for(connection.dialect)
        bound = compiled.bound(values)
        cursor = connection.connection.cursor()
        try:
            cursor.execute(compiled.text, bound)
        except connection.dialect.loaded_dbapi.Error as error:
            base = connection.dialect.loaded_dbapi.Error
            raise DBAPIError.instance(
                compiled.text, bound, error, base, dialect=connection.dialect
            ) from error
        return cursor

    def fetch(self, connection: Connection, kind: type[R], values: dict[str, Any]) -> list[R]:
        """The rows of a `select(table)`, as instances of its class."""
        read = self._for(connection.dialect).read
        return [kind.read(read(row)) for row in self.run(connection, values).fetchall()]

    def _for(self, dialect: Dialect) -> "_Compiled":
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self._statement, dialect)
        return compiled


class _Compiled:
    """A statement in the words of one dialect."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        assert "POSTCOMPILE" not in compiled.string, "a list of unknown length"
        self.text: str = compiled.string
        # For a driver that wants its values in order, their order; for others none.
        self._order: list[str] | None = compiled.positiontup if compiled.positional else None
        self._processors: dict[str, Processor] = {}
        for name, bind in compiled.binds.items():
            processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if processor is not None:
                self._processors[name] = processor
        fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._fixed = self._processed(fixed)
        columns: Sequence[Any] = (
            list(statement.selected_columns) if isinstance(statement, Select) else []
        )
        self._names = [column.name for column in columns]
        self._readers: list[tuple[str, Processor]] = []
        for column in columns:
            if isinstance(column.type, Float):
                continue  # both drivers give a float; SQLAlchemy would ask for its type
            reader = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if reader is not None:
                self._readers.append((column.name, reader))

    def bound(self, values: dict[str, Any]) -> Any:
        """The values as the driver wants them."""
        ready = self._processed(values)
        if self._fixed:
            ready = {**self._fixed, **ready}
        return ready if self._order is None else tuple([ready[name] for name in self._order])

    def read(self, row: Sequence[Any]) -> dict[str, Any]:
        """A row of the driver's by the names of its columns."""
        values = dict(zip(self._names, row, strict=True))
        for name, reader in self._readers:
            values[name] = reader(values[name])
        return values

    def _processed(self, values: dict[str, Any]) -> dict[str, Any]:
        processors = self._processors
        return {
            name: processors[name](value) if name in processors else value
            for name, value in values.items()
        }
