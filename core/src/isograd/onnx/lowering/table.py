"""The table of lowerings, and the ONNX operators that each is made of."""

from __future__ import annotations

from collections.abc import Callable

from isograd.onnx.graph import OnnxGraph, Value
from isograd.onnx.operations import Operation

# A lowering answers with the name of its result, or with a `Value` that is still to be broadcast.
Lowering = Callable[[OnnxGraph, Operation], str | Value]

LOWERINGS: dict[str, Lowering] = {}
"""How each primitive is written, by its name; one that is missing has no form in ONNX."""
OPERATORS: dict[str, tuple[str, ...]] = {}
"""The ONNX operators that may come of each primitive, by its name."""


def lowers(*names: str, to: str) -> Callable[[Lowering], Lowering]:
    """Enter a lowering for the primitives named; `to` names the ONNX operators that it may use."""

    def enter(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, lowering))
        OPERATORS.update(dict.fromkeys(names, tuple(to.split())))
        return lowering

    return enter
