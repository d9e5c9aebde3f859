"""Costs: what training minimises, as specs that are plain data, as layers are."""

from __future__ import annotations

from isograd.costs.base import Cost
from isograd.costs.known import CrossEntropy, LogLikelihood, Quadratic
from isograd.costs.rows import row_costs, target_variables
from isograd.costs.serialise import cost_types, from_data, to_data

__all__ = [
    "Cost",
    "CrossEntropy",
    "LogLikelihood",
    "Quadratic",
    "cost_types",
    "from_data",
    "row_costs",
    "target_variables",
    "to_data",
]
