"""The table of lowerings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from isograd.errors import UnsupportedError
from isograd.graph import Tensor
from isograd_numpy.plan import Plan

Array = npt.NDArray[Any]
Lowering = Callable[[Plan, Tensor], Array]

LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Enter a lowering for the primitives named: it emits calls and returns the array of the result."""

    def enter(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, lowering))
        return lowering

    return enter


def lower(plan: Plan, node: Tensor) -> Array:
    """Lower one node whose operands have been lowered.

    Raises
    ------
    UnsupportedError
        If the primitive is unknown here.
    """
    if node.primitive not in LOWERINGS:
        raise UnsupportedError(f"backend 'numpy' does not implement the primitive {node.primitive!r}")
    return LOWERINGS[node.primitive](plan, node)
