"""How each primitive becomes JAX operations: one primitive, one short function."""

from __future__ import annotations

from isograd_jax.lowering import contraction, elementwise, pooling, reduction, structure
from isograd_jax.lowering.table import LOWERINGS, check_primitives

__all__ = [
    "LOWERINGS",
    "check_primitives",
    "contraction",
    "elementwise",
    "pooling",
    "reduction",
    "structure",
]
