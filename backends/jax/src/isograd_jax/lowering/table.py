"""The table of lowerings."""

from __future__ import annotations

from collections.abc import Callable

import jax

from isograd.graph import Tensor
from isograd_jax.trace import Image, Trace

Lowering = Callable[[Trace, Tensor], jax.Array | Image]

LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Enter a lowering for the primitives named: it computes a node from its operands' values."""

    def enter(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, lowering))
        return lowering

    return enter
