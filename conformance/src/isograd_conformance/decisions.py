"""Where a graph decides by comparing numbers, and how to judge it on the numbers that were compared.

A maximum, a relu or a comparison may go either way where its operands are closer than their bounds, and what
follows then proves nothing. So the operands of decisions are made outputs too, and what follows is judged on
the values that the backend itself compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from isograd.graph import Tensor
from isograd.graph.tensor import rebuild, topological

DECISIONS = frozenset(
    {
        "abs",
        "argmax",
        "equal",
        "greater",
        "max_pool2d",
        "max_pool2d_index",
        "maximum",
        "minimum",
        "reduce_max",
        "relu",
        "sign",
    }
)


def decided(result: Tensor, below: Collection[Tensor] = ()) -> list[Tensor]:
    """The operands of decisions on the way to `result`, in the order of computation.

    Parameters
    ----------
    result : Tensor
    below : collection of Tensor
        Where the search ends; these are not among what is returned, nor are variables and constants.
    """
    found: dict[int, Tensor] = {}
    stops, seen, stack = {id(t) for t in below}, set(), [result]
    while stack:
        node = stack.pop()
        if id(node) in seen or id(node) in stops:
            continue
        seen.add(id(node))
        stack.extend(node.inputs)
        if node.primitive in DECISIONS:
            computed = (x for x in node.inputs if x.primitive not in ("variable", "constant"))
            found |= {id(x): x for x in computed if id(x) not in stops}
    return [node for node in topological([result]) if id(node) in found]


def substitute(tensors: Sequence[Tensor], replacements: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """The same tensors, computed from the replacements wherever a node of that identity was read.

    A tensor that is itself to be replaced is still computed, from the replacements below it.
    """
    known = {id(old): new for old, new in replacements.items()}
    made: dict[int, Tensor] = {}
    for node in topological(tensors):
        made[id(node)] = rebuild(node, [known.get(id(x), made[id(x)]) for x in node.inputs])
    return [made[id(t)] for t in tensors]
