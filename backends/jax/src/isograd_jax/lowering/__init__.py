"""How each primitive becomes JAX operations: one primitive, one short function."""

from __future__ import annotations

from isograd_jax.lowering import contraction, elementwise, pooling, reduction, structure
from isograd_jax.lowering.table import LOWERINGS

__all__ = [
    "LOWERINGS",
    "contraction",
    "elementwise",
    "pooling",
    "reduction",
    "structure",
]
