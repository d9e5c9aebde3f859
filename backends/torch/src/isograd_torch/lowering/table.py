"""The table of lowerings."""

from __future__ import annotations

from collections.abc import Callable

from isograd.graph import Tensor
from isograd_torch.plan import Name, Plan

Lowering = Callable[[Plan, Tensor], Name]

LOWERINGS: dict[str, Lowering] = {}

# What is lowered where it is first read, if anywhere: many readers take something better than its value.
LAZY = frozenset({"variable", "constant", "iota", "broadcast_to", "greater", "equal", "max_pool2d_index"})


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Enter a lowering for the primitives named: it emits calls and returns the name of the result."""

    def enter(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, lowering))
        return lowering

    return enter
