"""How each primitive becomes calls of a plan: one primitive, one short function."""

from __future__ import annotations

from isograd_numpy.lowering import contraction, elementwise, pooling, reduction, softmax, structure
from isograd_numpy.lowering.table import LOWERINGS, lower

__all__ = ["LOWERINGS", "contraction", "elementwise", "lower", "pooling", "reduction", "softmax", "structure"]
