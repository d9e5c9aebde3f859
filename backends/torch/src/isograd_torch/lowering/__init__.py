"""How each primitive becomes PyTorch calls of a plan: one primitive, one short function."""

from __future__ import annotations

from isograd_torch.lowering import contraction, elementwise, pooling, reduction, softmax, structure
from isograd_torch.lowering.table import LAZY, LOWERINGS

__all__ = [
    "LAZY",
    "LOWERINGS",
    "contraction",
    "elementwise",
    "pooling",
    "reduction",
    "softmax",
    "structure",
]
