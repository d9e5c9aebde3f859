"""`Function`: what a backend compiles. Inputs and state in, outputs and the state's new values out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.printing import format_graph
from isograd.graph.tensor import Array, Tensor, topological


class Function:
    """A pure function of named arrays, written as graph.

    Parameters
    ----------
    inputs : mapping from name to variable
        Given anew at each call.
    outputs : mapping from name to Tensor
    state : mapping from name to variable, optional
        Values that a run carries from call to call: weights, velocities, running statistics.
    updates : mapping from name to Tensor, optional
        New values for some of the state, of the same shape and dtype. All are computed from the *old* state
        and applied at once.

    Raises
    ------
    ArgumentError, ShapeError, ArgumentTypeError
        If a name does not match its variable's, a variable is used but not listed, an update has no state or
        does not match it, or the indices of a `gather` or `scatter_add` are no input, so that no check on the
        host could guard them.
    """

    def __init__(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        state: Mapping[str, Tensor] | None = None,
        updates: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self.state = dict(state or {})
        self.updates = dict(updates or {})
        self._check_tensors()
        self._check_names()
        self._check_updates()
        self.nodes: list[Tensor] = topological([*self.outputs.values(), *self.updates.values()])
        self._check_variables()
        self.index_limits: dict[str, int] = self._index_limits()

    def __repr__(self) -> str:
        return (
            f"<Function ({', '.join(self.inputs)}) -> ({', '.join(self.outputs)}), {len(self.nodes)} nodes>"
        )

    def __str__(self) -> str:
        return format_graph(self.outputs, self.updates)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the readable text, interface and constants: equal digests compute the same function."""
        interface = [
            sorted((name, t.shape, t.dtype) for name, t in part.items())
            for part in (self.inputs, self.outputs, self.state, self.updates)
        ]
        text = hashlib.sha256(repr(interface).encode())
        text.update(format_graph(self.outputs, self.updates, constants="digest").encode())
        return text.hexdigest()

    def check_inputs(
        self, inputs: Mapping[str, Array], *, rows: int | None = None, partial: bool = False
    ) -> None:
        """Refuse values that are missing, unknown, of another shape or dtype, or indices out of range.

        With `rows`, these are the inputs that change from call to call: each array carries that many calls'
        values along a leading axis. Of these, and with `partial`, some may be absent.
        """
        missing = [name for name in self.inputs if name not in inputs]
        if missing and rows is None and not partial:
            raise ArgumentError(f"the inputs {', '.join(missing)} are missing")
        for name, value in inputs.items():
            if name not in self.inputs:
                raise ArgumentError(
                    f"{name!r} is not an input; the inputs are {', '.join(self.inputs) or 'none'}"
                )
            shape = self.inputs[name].shape if rows is None else (rows, *self.inputs[name].shape)
            check_array(name, value, shape, self.inputs[name].dtype)
            self.check_indices(name, value)

    def check_indices(self, name: str, value: Array) -> None:
        """Refuse indices that point outside the rows that they select from."""
        limit = self.index_limits.get(name)
        if limit is None:
            return
        indices = np.asarray(value)
        if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < limit):
            raise ArgumentError(
                f"{name} has indices from {indices.min()} to {indices.max()}; expected 0 to {limit - 1}"
            )

    def _check_tensors(self) -> None:
        kinds = {"input": self.inputs, "output": self.outputs, "state": self.state, "update": self.updates}
        for kind, part in kinds.items():
            for name, tensor in part.items():
                if not isinstance(tensor, Tensor):
                    raise ArgumentTypeError(
                        f"{kind} {name!r} is a {type(tensor).__name__}; expected a Tensor"
                    )

    def _check_names(self) -> None:
        for kind, part in (("input", self.inputs), ("state", self.state)):
            for name, tensor in part.items():
                if tensor.primitive != "variable" or tensor.name != name:
                    raise ArgumentError(f"{kind} {name!r} is {tensor!r}; expected the variable of that name")
        both = self.inputs.keys() & self.state.keys()
        if both:
            raise ArgumentError(
                f"{', '.join(sorted(both))}: both input and state; a name can be only one of them"
            )

    def _check_updates(self) -> None:
        for name, new in self.updates.items():
            old = self.state.get(name)
            if old is None:
                raise ArgumentError(
                    f"update {name!r} has no state; the state is {', '.join(self.state) or 'empty'}"
                )
            if new.shape != old.shape:
                raise ShapeError(f"update {name!r} is {new!r}; the state is {old!r}")
            if new.dtype != old.dtype:
                raise ArgumentTypeError(f"update {name!r} is {new!r}; the state is {old!r}")

    def _check_variables(self) -> None:
        known = {id(t) for t in (*self.inputs.values(), *self.state.values())}
        for node in self.nodes:
            if node.primitive == "variable" and id(node) not in known:
                raise ArgumentError(
                    f"the graph uses {node!r}, which is neither an input nor state of the function"
                )

    def _index_limits(self) -> dict[str, int]:
        limits: dict[str, int] = {}
        for node in self.nodes:
            if node.primitive not in ("gather", "scatter_add"):
                continue
            data, indices = node.inputs
            limit = data.shape[0] if node.primitive == "gather" else node.attributes["size"]
            if indices.primitive == "constant":
                value = indices.attributes["value"]
                if value.size and not (value.min() >= 0 and value.max() < limit):
                    raise ArgumentError(f"{node.primitive}: constant indices lie outside 0 to {limit - 1}")
            elif self.inputs.get(indices.name) is not indices:
                raise ArgumentError(
                    f"{node.primitive}: the indices {indices!r} are no input of the function; "
                    "only inputs are checked on the host before a run"
                )
            else:
                limits[indices.name] = min(limit, limits.get(indices.name, limit))
        return limits


def check_array(name: str, value: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Refuse an array of another shape or dtype than a variable's. Works for any library's arrays."""
    found = tuple(getattr(value, "shape", ())) if hasattr(value, "shape") else None
    if found is None:
        raise ArgumentTypeError(f"{name} is a {type(value).__name__}; expected an array")
    if found != tuple(shape):
        raise ShapeError(f"{name} has shape {list(found)}; expected {list(shape)}")
    kind = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if kind != dtype:
        raise ArgumentTypeError(f"{name} is {kind}; expected {dtype}")
