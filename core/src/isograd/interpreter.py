"""An executable for every backend that runs a function one primitive after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.backend import Array
from isograd.graph.function import Function

__all__ = ["Interpreter"]


def _as_it_is(array: npt.NDArray[Any]) -> Array:
    return array


class Interpreter:
    """A `Function` executed node by node, each after its operands: an `isograd.backend.Executable`.

    It keeps nothing between calls, so it is pure and threads may share it where `apply` is.

    Parameters
    ----------
    function : Function
    device : str
        The full name.
    apply : callable
        ``apply(node, *operands)``: the array of a node, of its shape and dtype. It changes no operand; the
        result may share memory with one. What it raises gets a note that names the node.
    constant : callable, optional
        Makes an array of the backend of a constant's NumPy array, which is read-only. Called here, once for
        each.
    to_host : callable, optional
        Makes a NumPy array of one of the backend's, for indices, which are looked at before each call.
    """

    def __init__(
        self,
        function: Function,
        device: str,
        apply: Callable[..., Array],
        *,
        constant: Callable[[npt.NDArray[Any]], Array] = _as_it_is,
        to_host: Callable[[Array], npt.NDArray[Any]] = np.asarray,
    ) -> None:
        self.function = function
        self.device = device
        self._apply = apply
        self._to_host = to_host
        self._constants = {
            id(node): constant(node.attributes["value"])
            for node in function.nodes
            if node.primitive == "constant"
        }

    def __call__(
        self, inputs: Mapping[str, Array], state: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The outputs and the new state. Raises as `isograd.backend.Executable` says."""
        self.function.check_call(inputs, state, to_host=self._to_host)
        return self.evaluate(inputs, state)

    def evaluate(
        self, inputs: Mapping[str, Array], state: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """As a call, but what is given is not looked at: for arrays that a framework traces."""
        given, values = {**inputs, **state}, dict(self._constants)
        for node in self.function.nodes:
            if node.primitive == "variable":
                values[id(node)] = given[node.name]
            elif node.primitive != "constant":
                operands = [values[id(x)] for x in node.inputs]
                try:
                    values[id(node)] = self._apply(node, *operands)
                except Exception as error:
                    error.add_note(f"in {node!r} of {list(node.inputs)}, attributes {dict(node.attributes)}")
                    raise
        outputs = {name: values[id(tensor)] for name, tensor in self.function.outputs.items()}
        # All new values are there before the first is handed on; state without an update passes through.
        updates = {name: values[id(tensor)] for name, tensor in self.function.updates.items()}
        return outputs, {**state, **updates}
