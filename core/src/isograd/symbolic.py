"""`function`: graph as a Python function of arrays, with state that its updates change, as in Theano.

x, w = variable("x", (3,)), variable("w", (3,))
step = function([x], (x * w).sum(), {w: w - 0.1 * x}, state={w: [1, 2, 3]})
print(step([1, 1, 1]), step.state["w"])
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.backend import Array, Backend
from isograd.backend_choice import BackendChoice, choose_backend
from isograd.compilation import compile_cached
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError
from isograd.graph.function import Function, check_array
from isograd.graph.simplify import simplify
from isograd.graph.tensor import Tensor, constant, topological

__all__ = ["CompiledFunction", "State", "function"]

Outputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
Updates = Mapping[Tensor, Tensor] | Mapping[str, Tensor] | Iterable[tuple[Tensor | str, Tensor]]


class State(Mapping[str, npt.NDArray[Any]]):
    """Arrays by the names of their variables, on a device, which several functions may share.

    ``state["w"]`` or ``state[w]`` is a copy; ``state["w"] = array`` puts in a copy of another array, once it
    has been found to fit. Any thread may read and write: a call of a function that has updates is one
    indivisible step for all who share its state.

    Parameters
    ----------
    initial : mapping of variable to array-like
        Arrays of the variable's shape and dtype; Python numbers, and lists of them, become such.
    backend : str or Backend, optional
        As for `isograd.choose_backend`: where the arrays lie.

    Attributes
    ----------
    variables : dict of str to Tensor
    choice : BackendChoice

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If a key is no variable, two have one name, or a value does not fit; the message names it.
    """

    def __init__(self, initial: Mapping[Tensor, Any], *, backend: str | Backend | None = None) -> None:
        if not isinstance(initial, Mapping):
            raise ArgumentTypeError(
                f"state is a {type(initial).__name__}; expected a mapping of variables to arrays, or a State"
            )
        self.choice: BackendChoice = choose_backend(backend)
        self.variables = _variables(initial, "state")
        self._lock = threading.RLock()
        self._arrays = {
            variable.name: self._send(variable, value)
            for variable, value in zip(self.variables.values(), initial.values(), strict=True)
        }

    def __getitem__(self, key: str | Tensor) -> npt.NDArray[Any]:
        name = self._name(key)
        with self._lock:
            array = self._arrays[name]
        return np.array(self.choice.backend.to_host(array))

    def __setitem__(self, key: str | Tensor, value: npt.ArrayLike) -> None:
        name = self._name(key)
        array = self._send(self.variables[name], value)
        with self._lock:
            self._arrays[name] = array

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, Tensor):
            return self.variables.get(key.name) is key
        return isinstance(key, str) and key in self.variables

    def __repr__(self) -> str:
        return f"State({', '.join(f'{n}: {v.dtype}{list(v.shape)}' for n, v in self.variables.items())})"

    def _name(self, key: object) -> str:
        if key not in self:
            # Not a KeyError: `Mapping.get` would answer None to a misspelt name.
            raise ArgumentError(f"state has no {key!r}; it has {', '.join(self.variables) or 'nothing'}")
        return key.name if isinstance(key, Tensor) else str(key)

    def _send(self, variable: Tensor, value: npt.ArrayLike) -> Array:
        # A copy: `to_device` may share the memory of what it is given.
        return self.choice.backend.to_device(_fitting(variable, value).copy(), self.choice.device)


class CompiledFunction:
    """What `function` returns: called with arrays, it computes the outputs and then updates its state.

    Attributes
    ----------
    function : Function
        The graph that was compiled.
    state : State

    See `function` for what it takes and gives.
    """

    def __init__(self, graph: Function, state: State, form: Outputs) -> None:
        self.function = graph
        self.state = state
        self._form = form
        self._executable = compile_cached(state.choice.backend, graph, state.choice.device)

    def __repr__(self) -> str:
        return f"<isograd.function {self.function!r} on {self.state.choice.backend.name}>"

    def __str__(self) -> str:
        return str(self.function)

    def __call__(self, *values: npt.ArrayLike, **named: npt.ArrayLike) -> Any:
        """The outputs, NumPy arrays in memory of their own, in the form in which they were asked for.

        Parameters
        ----------
        *values, **named
            The inputs, in their order or by name: arrays of the variable's shape and dtype; Python numbers,
            and lists of them, become such.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If an input is missing, unknown, given twice or does not fit, or an index is out of range; the
            message names it. The state is as it was.
        """
        backend, device = self.state.choice
        fitting = {
            name: _fitting(self.function.inputs[name], value)
            for name, value in self._bound(values, named).items()
        }
        if self.function.updates:
            # The new state may be an input itself, in the memory of the caller's array.
            fitting = {name: array.copy() for name, array in fitting.items()}
        inputs = {name: backend.to_device(array, device) for name, array in fitting.items()}
        outputs = self._run(inputs)
        made = {name: np.array(backend.to_host(array)) for name, array in outputs.items()}
        if isinstance(self._form, Tensor):
            return made["output"]
        return made if isinstance(self._form, Mapping) else list(made.values())

    def _run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        state = self.state
        if not self.function.updates:
            with state._lock:
                current = {name: state._arrays[name] for name in self.function.state}
            return self._executable(inputs, current)[0]
        with state._lock:
            current = {name: state._arrays[name] for name in self.function.state}
            outputs, after = self._executable(inputs, current)
            state._arrays.update({name: after[name] for name in self.function.updates})
        return outputs

    def _bound(self, values: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """The given values by the names of the inputs."""
        names = list(self.function.inputs)
        expected = f"the inputs are {', '.join(names) or 'none'}"
        if len(values) > len(names):
            raise ArgumentError(f"{len(values)} inputs were given by position; {expected}")
        bound = dict(zip(names, values, strict=False))
        for name, value in named.items():
            if name not in names:
                raise ArgumentError(f"{name!r} is not an input; {expected}")
            if name in bound:
                raise ArgumentError(f"input {name} was given by position and by name; expected it once")
            bound[name] = value
        missing = [name for name in names if name not in bound]
        if missing:
            raise ArgumentError(f"inputs lack {', '.join(missing)}; {expected}")
        return bound


def function(
    inputs: Sequence[Tensor],
    outputs: Outputs,
    updates: Updates = (),
    *,
    state: Mapping[Tensor, Any] | State | None = None,
    backend: str | Backend | None = None,
) -> CompiledFunction:
    """Compile graph to a function of arrays: what `theano.function` is in Theano.

    Parameters
    ----------
    inputs : sequence of variable
        What each call is given, in this order or by name.
    outputs : Tensor, sequence of Tensor or mapping of str to Tensor
        What each call returns: an array, a list of arrays or a dict of them. An empty list is allowed.
    updates : mapping, or iterable of pairs, of variable or its name to Tensor
        New values for some of the state, of the same shape and dtype. All are computed from the old state,
        as the outputs are, and applied at once.
    state : mapping of variable to array-like, or State
        What the function keeps from call to call, and how it begins: the arrays are copied. The `state` of
        another function is shared with it, so that one trains what the other evaluates.
    backend : str or Backend, optional
        As for `isograd.choose_backend`; with the state of another function it is that one's.

    Returns
    -------
    CompiledFunction
        Any thread may call it. Calls that update a state run one after the other; others run side by side,
        on the state of one moment.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If an argument is not as described, two variables have one name, the graph uses a variable that is
        neither an input nor state, or an update does not fit the state.
    UnsupportedError
        If the backend lacks a dtype or a primitive.
    """
    if isinstance(inputs, Tensor) or not isinstance(inputs, Sequence):
        raise ArgumentTypeError(f"inputs is a {type(inputs).__name__}; expected a list of variables")
    given = _variables(inputs, "inputs")
    wanted = _by_name(outputs)
    held = _shared(state, backend) if isinstance(state, State) else State(state or {}, backend=backend)
    new = _updated(updates, held)
    used = {id(tensor) for tensor in topological([*wanted.values(), *new.values()])}
    kept = {
        name: variable
        for name, variable in held.variables.items()
        if id(variable) in used or name in new or name in given
    }
    return CompiledFunction(simplify(Function(given, wanted, kept, new)), held, outputs)


def _shared(state: State, backend: str | Backend | None) -> State:
    if backend is not None and choose_backend(backend) != state.choice:
        place = f"{state.choice.backend.name}:{state.choice.device}"
        raise ArgumentError(f"backend is {backend!r}, but the state lies on {place}; leave backend out")
    return state


def _variables(tensors: Iterable[Any], argument: str) -> dict[str, Tensor]:
    """Variables by their names."""
    found: dict[str, Tensor] = {}
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or not tensor.name:
            raise ArgumentTypeError(f"{argument} has {tensor!r}; expected a variable")
        if tensor.name in found:
            raise ArgumentError(f"{argument} has {tensor.name!r} twice; expected different names")
        found[tensor.name] = tensor
    return found


def _by_name(outputs: Outputs) -> dict[str, Tensor]:
    """The outputs by name: their own, or their places."""
    if isinstance(outputs, Tensor):
        return {"output": outputs}
    named: Any = outputs if isinstance(outputs, Mapping) else None
    if named is None and isinstance(outputs, Sequence) and not isinstance(outputs, str):
        named = {str(place): tensor for place, tensor in enumerate(outputs)}
    if named is None:
        raise ArgumentTypeError(
            f"outputs is a {type(outputs).__name__}; expected a Tensor, or a list or dict of them"
        )
    for name, tensor in named.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentTypeError(f"outputs has {name!r}: {tensor!r}; expected a name and a Tensor")
    return dict(named)


def _updated(updates: Updates, state: State) -> dict[str, Tensor]:
    """The new values by the names of the state."""
    try:
        pairs = [(old, new) for old, new in (updates.items() if isinstance(updates, Mapping) else updates)]
    except (TypeError, ValueError, IsogradError):
        raise ArgumentTypeError(
            f"updates is {updates!r}; expected a mapping, or pairs, of variables to Tensors"
        ) from None
    found: dict[str, Tensor] = {}
    for old, new in pairs:
        if old not in state:
            raise ArgumentError(
                f"updates has {old!r}, which is no state; the state is {', '.join(state) or 'empty'}"
            )
        name = state._name(old)
        if name in found:
            raise ArgumentError(f"updates has {name!r} twice; expected one new value")
        if not isinstance(new, Tensor):
            raise ArgumentTypeError(f"update {name!r} is a {type(new).__name__}; expected a Tensor")
        found[name] = new
    return found


def _fitting(variable: Tensor, value: npt.ArrayLike) -> npt.NDArray[Any]:
    """A value as an array of a variable's shape and dtype; only Python's own numbers are converted."""
    name = variable.name
    try:
        array = np.asarray(value)
        if isinstance(value, bool | int | float | list | tuple):
            if variable.dtype == "bool" and array.size and array.dtype != "bool":
                raise ArgumentTypeError(f"it holds {array.dtype}; expected truth values")
            array = constant(array, variable.dtype).attributes["value"]
    # Foreign arrays refuse with an error of their own choice, for example because they lie on another device.
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(error) if isinstance(error, IsogradError) else ArgumentTypeError
        raise kind(
            f"{name} is a {type(value).__name__} that is no array of {variable.dtype}: {error}"
        ) from error
    check_array(name, array, variable.shape, variable.dtype)
    return array
