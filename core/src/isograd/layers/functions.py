"""Functions with names: activations, initialisers and schedules as specs and files refer to them.

A spec may hold any callable, but a file holds names alone: nothing that a file names is ever imported. So a
function of one's own gets a name in each program that saves or loads it:

    from isograd.layers import functions

    functions.register("activation", "swish", lambda z: z * graph.sigmoid(z))
    FullyConnected(100, activation="swish")

A distribution offers its functions to every program through the plugin hook `isograd_functions`. A name is
looked up among isograd's own first, then among those registered here, then among the plugins'.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, get_args

from isograd import plugins
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.derived import linear
from isograd.graph.primitives import relu, sigmoid, softplus, tanh
from isograd.graph.tensor import Tensor
from isograd.plugins.descriptors import check_name

Kind = Literal["activation", "initialiser", "schedule"]
Function = Callable[..., Any]
ActivationFunction = Callable[[Tensor], Tensor]

#: The key in a dataclass field's metadata whose value, a `Kind`, says what functions the field holds.
KIND = "isograd.function"

_BUILT_IN: dict[Kind, dict[str, Function]] = {
    "activation": {"linear": linear, "relu": relu, "sigmoid": sigmoid, "softplus": softplus, "tanh": tanh},
    "initialiser": {},
    "schedule": {},
}
_registered: dict[Kind, dict[str, Function]] = {kind: {} for kind in get_args(Kind)}
_lock = threading.Lock()


def register(kind: Kind, name: str, function: Function) -> None:
    """Give a function a name in this process, so that specs with it can be saved and loaded.

    Parameters
    ----------
    kind : "activation", "initialiser" or "schedule"
        An activation takes a `Tensor` and returns one of the same shape and dtype; an initialiser takes
        (seed, path, `ParameterSpec`) and returns an array of the parameter's shape; a schedule takes the
        epoch, an int from 0, and returns a number, or is a `training.StepSchedule`.
    name : str
        Lower-case words joined by dashes or underscores.
    function : callable
        Hashable. Registering the same one again does nothing.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is not as described, or the name belongs to another function.
    """
    _check_kind(kind)
    check_name(name, "name")
    _check_function(function, "function", "a function")
    with _lock:
        taken = _own(kind).get(name)
        if taken is not None and taken != function:
            raise ArgumentError(
                f"name is {name!r}, which belongs to the {kind} {taken!r}; choose another name or, if it is "
                "your own, `unregister` it first"
            )
        if taken is None:
            _registered[kind][name] = function


def unregister(kind: Kind, name: str) -> None:
    """Forget a name that `register` gave.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    _check_kind(kind)
    with _lock:
        if name not in _registered[kind]:
            known = ", ".join(sorted(_registered[kind])) or "none"
            raise ArgumentError(f"name is {name!r}; expected a registered {kind}: {known}")
        del _registered[kind][name]


def lookup(kind: Kind, name_or_function: object, argument: str | None = None) -> Function:
    """The function of a name; a function itself.

    Parameters
    ----------
    kind : "activation", "initialiser" or "schedule"
    name_or_function : str or callable
    argument : str, optional
        What error messages call it; by default the kind.

    Raises
    ------
    ArgumentError
        If no function of that kind has the name; the message lists those that have one.
    ArgumentTypeError
        If it is neither a str nor a hashable callable.
    """
    _check_kind(kind)
    argument = argument or kind
    if not isinstance(name_or_function, str):
        return _check_function(name_or_function, argument, f"the name of an {kind} or a function")
    own = _own(kind)
    if name_or_function in own:
        return own[name_or_function]
    offered = plugins.registered_functions()
    if name_or_function in offered:
        return offered[name_or_function]
    raise ArgumentError(
        f"{argument} is {name_or_function!r}; expected {', '.join(known(kind))} or a function "
        f"(isograd.layers.functions.register gives it a name)"
    )


def known(kind: Kind) -> tuple[str, ...]:
    """Every name that `lookup` knows. A plugin does not say what its functions are for: they count as all."""
    _check_kind(kind)
    return (*sorted(_own(kind)), *(n for n in plugins.registered_functions() if n not in _own(kind)))


def name_of(kind: Kind, function: Function) -> str | None:
    """The name of a function, None where it has none."""
    _check_kind(kind)
    for table in (_own(kind), plugins.registered_functions()):
        for name, candidate in table.items():
            # A plugin's function has no name here if one of isograd's own goes before it.
            if candidate == function and lookup(kind, name) is candidate:
                return name
    return None


def registered_name(kind: Kind, function: Function, argument: str | None = None) -> str:
    """The name under which a function goes into a file.

    Raises
    ------
    ArgumentError
        If it has none; the message says how to give it one.
    """
    name = name_of(kind, function)
    if name is None:
        raise ArgumentError(
            f"{argument or kind} is {function!r}, which has no name and can not be saved; give it one by "
            f'isograd.layers.functions.register("{kind}", name, function), in each program that saves or '
            "loads it"
        )
    return name


def as_data(kind: Kind, name_or_function: object, argument: str | None = None) -> str | Function:
    """A name or a function as a spec keeps it: the name wherever there is one. Raises as `lookup` does."""
    function = lookup(kind, name_or_function, argument)
    return name_or_function if isinstance(name_or_function, str) else name_of(kind, function) or function


def add_built_in(kind: Kind, functions: Mapping[str, Function]) -> None:
    """Names of isograd itself, which nobody can take or forget; for the modules that define the functions."""
    _BUILT_IN[kind].update(functions)


def activate(name_or_function: str | ActivationFunction, z: Tensor, argument: str) -> Tensor:
    """The activation of z, which has the shape and dtype of z.

    Raises
    ------
    ArgumentTypeError, ShapeError
        If the function returns something else; the message begins with `argument`.
    """
    a = lookup("activation", name_or_function, argument)(z)
    if not isinstance(a, Tensor) or a.dtype != z.dtype:
        came = repr(a) if isinstance(a, Tensor) else f"a {type(a).__name__}"
        raise ArgumentTypeError(
            f"{argument} {name_or_function!r} returned {came}; expected a Tensor of {z.dtype}"
        )
    if a.shape != z.shape:
        raise ShapeError(
            f"{argument} {name_or_function!r} returned shape {a.shape}; expected its input's, {z.shape}"
        )
    return a


def _own(kind: Kind) -> dict[str, Function]:
    return {**_registered[kind], **_BUILT_IN[kind]}


def _check_kind(kind: object) -> None:
    if kind not in get_args(Kind):
        raise ArgumentError(f"kind is {kind!r}; expected {', '.join(get_args(Kind))}")


def _check_function(function: object, argument: str, expected: str) -> Function:
    if not callable(function):
        raise ArgumentTypeError(f"{argument} is {function!r}; expected {expected}")
    if not isinstance(function, Hashable):
        raise ArgumentTypeError(
            f"{argument} is {function!r}, which is not hashable, as a part of a spec has to be"
        )
    return function
