"""What all rows are: SQLModel tables whose objects are made plainly.

SQLModel sets each attribute of a new object through the ORM's change tracking and asks pydantic how
each default is made: half a millisecond a row, more than SQLite takes to write it. Nothing here
uses the unit of work (the store speaks Core), so an object is its values and no more.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self

from pydantic_core import PydanticUndefined
from sqlalchemy.orm import configure_mappers
from sqlmodel import SQLModel


class Row(SQLModel):
    """The base of the tables. As in SQLModel, values of a table are not validated."""

    def __init__(self, **values: Any) -> None:
        # No call of SQLModel's: it would do what this is here to leave out.
        inside = self.__dict__
        plain, made = _defaults(type(self))
        inside.update(plain)
        for name, factory in made:
            if name not in values:
                inside[name] = factory()
        inside.update(values)

    @classmethod
    def read(cls, values: Mapping[Any, Any]) -> Self:
        """Make an object of what was read, past SQLAlchemy's constructor.

        That would note of each object what the unit of work needs, which takes three times as long
        as the reading.
        """
        _configure(cls)
        made: Self = cls.__new__(cls)
        Row.__init__(made, **values)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _own(type(self)):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)


@cache
def _configure(_kind: type[Row]) -> None:
    """Have SQLAlchemy finish its classes, as its constructor would: their attributes work then."""
    configure_mappers()


@cache
def _own(kind: type[Row]) -> frozenset[str]:
    """What is set without asking anybody: the fields, and what SQLAlchemy notes of each object."""
    return frozenset([*kind.model_fields, "_sa_instance_state"])


@cache
def _defaults(kind: type[Row]) -> tuple[dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """The defaults of a class: values, and what is called for one."""
    plain, made = {}, []
    for name, field in kind.model_fields.items():
        if field.default_factory is not None:
            made.append((name, field.default_factory))
        elif field.default is not PydanticUndefined:
            plain[name] = field.default
    return plain, made  # type: ignore[return-value]
