"""How each primitive is written in ONNX operators; what the table lacks can not be exported."""

from __future__ import annotations

from isograd.onnx.lowering import contraction, elementwise, pooling, reduction, structure
from isograd.onnx.lowering.table import LOWERINGS, OPERATORS

__all__ = ["LOWERINGS", "OPERATORS", "contraction", "elementwise", "pooling", "reduction", "structure"]
