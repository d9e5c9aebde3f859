"""A dataclass as a table of its fields and its class name, "type"; and back, from untrusted files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar

from isograd.errors import ArgumentError, ArgumentTypeError

T = TypeVar("T")


def to_table(value: Any) -> dict[str, Any]:
    """Every field of a dataclass, with the class name as "type"."""
    return {"type": type(value).__name__, **asdict(value)}


def from_table(data: object, kinds: Mapping[str, type[T]], where: str) -> T:
    """What `to_table` wrote; fields with a default may be left out.

    Parameters
    ----------
    data : object
    kinds : mapping of str to type
        The dataclasses that may be meant, by their names.
    where : str
        How messages call the table.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If it is no table, its type is none of those, or as `construct` and the class itself do.
    """
    if not isinstance(data, Mapping):
        raise ArgumentTypeError(f"{where} has {data!r}; expected a table")
    values = dict(data)
    kind = kinds.get(str(values.pop("type", None)))
    if kind is None:
        raise ArgumentError(f"{where} has type {data.get('type')!r}; expected one of {', '.join(kinds)}")
    return construct(kind, values, f"{where} of type {kind.__name__}")


def own_and_offered(
    own: Mapping[str, type[T]], offered: Mapping[str, type], base: type[T]
) -> dict[str, type[T]]:
    """The classes that a file may name: isograd's own, and after them those of plugins with another name."""
    others = {name: kind for name, kind in offered.items() if issubclass(kind, base) and name not in own}
    return {**own, **others}


def construct(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of a dataclass from its fields by name.

    Raises
    ------
    ArgumentError
        If a field is unknown, or missing and without a default.
    """
    known = {field.name: field for field in fields(kind) if field.init}  # type: ignore[arg-type]
    unknown = sorted(str(name) for name in values.keys() - known.keys())
    if unknown:
        raise ArgumentError(
            f"{where} has no field {', '.join(unknown)}; expected {', '.join(known) or 'nothing'}"
        )
    missing = [
        field.name
        for field in known.values()
        if field.name not in values and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ArgumentError(f"{where} lacks {', '.join(missing)}")
    return kind(**values)
