"""Costs as plain data: a table of the class name, "type", and the fields; or the class name alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isograd import plugins
from isograd.costs.base import Cost
from isograd.costs.known import CrossEntropy, LogLikelihood, Quadratic
from isograd.errors import ArgumentError, FileFormatError
from isograd.tables import from_table, own_and_offered, to_table

_COSTS: Mapping[str, type[Cost]] = {kind.__name__: kind for kind in (CrossEntropy, LogLikelihood, Quadratic)}


def cost_types() -> dict[str, type[Cost]]:
    """Every cost class that a file may name: isograd's own, and after them those that plugins offer."""
    return own_and_offered(_COSTS, plugins.cost_classes(), Cost)  # type: ignore[type-abstract]


def to_data(cost: Cost) -> dict[str, Any]:
    """A cost as a table.

    Raises
    ------
    ArgumentError
        If it could not be read again, because its class is neither isograd's own nor offered by a plugin.
    """
    kind = type(cost)
    if _cost_type(kind.__name__) is not kind:
        raise ArgumentError(
            f"cost is {cost!r}, whose class could not be found again by its name; offer it through the "
            "plugin hook isograd_costs (isograd.plugins.register does so for one process)"
        )
    return to_table(cost)


def from_data(data: object) -> Cost:
    """The cost of a table that `to_data` wrote, or of a class name where every field has a default.

    Raises
    ------
    FileFormatError
        If it is neither, the type is unknown, or a field is unknown, missing or has a value that the cost
        does not take.
    """
    table = {"type": data} if isinstance(data, str) else data
    name = table.get("type") if isinstance(table, Mapping) else None
    # Plugins are asked only for what isograd does not have itself.
    kinds = _COSTS if name in _COSTS else cost_types()
    try:
        return from_table(table, kinds, "cost")
    except (TypeError, ValueError) as error:
        raise FileFormatError(str(error)) from error


def _cost_type(name: str) -> type[Cost] | None:
    return _COSTS.get(name) or cost_types().get(name)
