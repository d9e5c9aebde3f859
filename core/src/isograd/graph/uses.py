"""Who reads what in a Function: what a backend asks before it merges nodes or works in place."""

from __future__ import annotations

from isograd.graph.function import Function
from isograd.graph.tensor import Tensor

# A result of these may be a view of the operand's memory.
VIEWS = ("reshape", "transpose", "broadcast_to", "slice", "stop_gradient")


class Uses:
    """The readers of every node of a Function.

    Parameters
    ----------
    function : Function
        Simplified, so that what is computed twice is one node.

    Attributes
    ----------
    function : Function
    consumers : dict from id of Tensor to list of Tensor
        The nodes that have it as an operand; one that has it twice stands there twice.
    results : set of id of Tensor
        Outputs and new values of state.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.consumers: dict[int, list[Tensor]] = {id(node): [] for node in function.nodes}
        for node in function.nodes:
            for operand in node.inputs:
                self.consumers[id(operand)].append(node)
        self.results = {id(t) for t in (*function.outputs.values(), *function.updates.values())}

    def sole_consumer(self, node: Tensor) -> Tensor | None:
        """The only node that reads this one, if there is one and the value is no result."""
        readers = self.consumers[id(node)]
        return readers[0] if len(readers) == 1 and id(node) not in self.results else None

    def viewed_state(self, node: Tensor) -> Tensor | None:
        """The state into whose memory the node's value looks, if it may."""
        source = viewed(node)
        return source if self.function.state.get(source.name) is source else None


def viewed(node: Tensor) -> Tensor:
    """The tensor into whose memory the node's value may look: itself where it has memory of its own."""
    while node.primitive in VIEWS:
        node = node.inputs[0]
    return node
