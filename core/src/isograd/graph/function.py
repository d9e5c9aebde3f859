"""`Function`: what a backend compiles. Inputs and state in, outputs and the state's new values out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.printing import format_graph
from isograd.graph.tensor import Array, Tensor, topological

ToHost = Callable[[Any], Array]
T = TypeVar("T")


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

    def in_order(
        self, inputs: Mapping[str, T], state: Mapping[str, T]
    ) -> tuple[tuple[T, ...], tuple[T, ...]]:
        """Arrays by name as sequences, in the order of the function's inputs and of its state."""
        return tuple(inputs[name] for name in self.inputs), tuple(state[name] for name in self.state)

    def by_name(self, outputs: Iterable[T], state: Iterable[T]) -> tuple[dict[str, T], dict[str, T]]:
        """Outputs and state in the function's order as what an executable returns."""
        return dict(zip(self.outputs, outputs, strict=True)), dict(zip(self.state, state, strict=True))

    def check_call(
        self, inputs: Mapping[str, Any], state: Mapping[str, Any], *, to_host: ToHost = np.asarray
    ) -> None:
        """Refuse what does not fit the function, before anything is computed from it.

        Parameters
        ----------
        inputs, state : mapping from name to array
            Of any library whose arrays have `shape` and `dtype`.
        to_host : callable
            Makes a NumPy array of such an array; indices are looked at.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If an array is missing, unknown, of another shape or dtype than its variable, or holds an index
            out of range; the message names it.
        """
        self._check_present(inputs)
        self._check_arrays(inputs, None, to_host)
        self._check_state(state)

    def check_run(
        self,
        state: Mapping[str, Any],
        resident: Mapping[str, Any],
        per_step: Mapping[str, Any],
        steps: int,
        *,
        to_host: ToHost = np.asarray,
    ) -> None:
        """As `check_call`, for several calls at once: `per_step` has a row for each along a leading axis."""
        self._check_present({**resident, **per_step})
        self._check_arrays(resident, None, to_host)
        self._check_arrays(per_step, steps, to_host)
        self._check_state(state)

    def _check_present(self, inputs: Mapping[str, Any]) -> None:
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise ArgumentError(
                f"inputs lack {', '.join(missing)}; the function needs {', '.join(self.inputs)}"
            )

    def _check_arrays(self, inputs: Mapping[str, Any], rows: int | None, to_host: ToHost) -> None:
        for name, value in inputs.items():
            if name not in self.inputs:
                raise ArgumentError(
                    f"{name!r} is not an input; the inputs are {', '.join(self.inputs) or 'none'}"
                )
            shape = self.inputs[name].shape if rows is None else (rows, *self.inputs[name].shape)
            check_array(name, value, shape, self.inputs[name].dtype)
            if name in self.index_limits:
                self._check_indices(name, to_host(value))

    def _check_indices(self, name: str, indices: Array) -> None:
        """Refuse indices that point outside the rows that they select from."""
        limit = self.index_limits[name]
        if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < limit):
            raise ArgumentError(
                f"{name} has indices from {indices.min()} to {indices.max()}; expected 0 to {limit - 1}"
            )

    def _check_state(self, state: Mapping[str, Any]) -> None:
        if state.keys() != self.state.keys():
            raise ArgumentError(f"state has {sorted(state)}; the function needs {sorted(self.state)}")
        for name, variable in self.state.items():
            check_array(name, state[name], variable.shape, variable.dtype)

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
