"""A network as a pure function for jax.jit, jax.grad and jax.vmap, and its arrays back into the network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from isograd.architecture import Architecture
from isograd.backend_checks import check_primitives
from isograd.embedding import INPUT, adopt_arrays, batch_function, check_arrays, check_network
from isograd.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from isograd.graph import Function
from isograd.graph.function import check_array
from isograd.graph.tensor import Shape
from isograd.layers import Mode
from isograd.network import Network
from isograd.training.checks import flag
from isograd.training.step import MASK
from isograd_jax.lowering import LOWERINGS
from isograd_jax.program import evaluate

Arrays = dict[str, jax.Array]

# Batches of so many shapes, in both modes, before a call outside jax.jit makes a graph anew.
_KEPT_GRAPHS = 32


class Apply(Protocol):
    """What a network computes, as `as_function` describes it."""

    def __call__(
        self,
        params: Mapping[str, jax.Array],
        x: jax.Array,
        *,
        train: bool = False,
        key: jax.Array | None = None,
    ) -> jax.Array: ...


class ApplyWithState(Protocol):
    """What a network computes, as `as_function_with_state` describes it."""

    def __call__(
        self,
        params: Mapping[str, jax.Array],
        state: Mapping[str, jax.Array],
        x: jax.Array,
        *,
        train: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Arrays]: ...


class NetworkFunction(NamedTuple):
    """What `as_function` returns: ``params, apply = as_function(net)``.

    Attributes
    ----------
    params : dict of path to jax.Array
        The parameters, which are trained.
    apply : callable
    """

    params: Arrays
    apply: Apply


class NetworkFunctionWithState(NamedTuple):
    """What `as_function_with_state` returns: ``params, state, apply = as_function_with_state(net)``.

    Attributes
    ----------
    params, state : dict of path to jax.Array
        The parameters, which are trained, and the layers' state, such as running means; {} where there is
        none.
    apply : callable
    """

    params: Arrays
    state: Arrays
    apply: ApplyWithState


def as_function(net: Network) -> NetworkFunction:
    """The network as a pure function of its parameters and a batch.

    ``output = apply(params, x, train=False, key=None)``: nothing is kept between calls, and gradients are
    taken of the first argument. All else is as `as_function_with_state` has it, parameters and errors too.

    The layers' state, where there is any, such as running means, is what the network has now. Training that
    moves it needs `as_function_with_state`: `train=True` of such a network is an UnsupportedError.
    """
    params, state, with_state = as_function_with_state(net)

    def apply(
        params: Mapping[str, jax.Array],
        x: jax.Array,
        *,
        train: bool = False,
        key: jax.Array | None = None,
    ) -> jax.Array:
        if train and state:
            raise UnsupportedError(
                f"train is True, which moves the layers' state, {', '.join(state)}; "
                "as_function_with_state gives it back"
            )
        return with_state(params, state, x, train=train, key=key)[0]

    return NetworkFunction(params, apply)


def as_function_with_state(net: Network) -> NetworkFunctionWithState:
    """The network as a pure function of its parameters, its state and a batch.

    ``output, new_state = apply(params, state, x, train=False, key=None)``, as a function with state has it in
    Haiku and, by other names, in Flax: nothing is kept between calls, and gradients are taken of the first
    argument.

    - x: (rows, *features), of any number of rows and the network's dtype, its features in any form that the
      network takes. For a single example, as under jax.vmap, give `x[None]`.
    - output: (rows, classes), the last layer's: the weighted input of the softmax.
    - new_state: the state after the batch; with `train` False it is `state`.
    - train: True takes the layers as they are in training. It is static: under jax.jit a
      `static_argnames`, or bound before.
    - key: a key of `jax.random`, needed where `train` meets dropout. The masks are drawn by
      `jax.random.bernoulli` from as many keys as `jax.random.split` makes of it for the network's masks, in
      the order of the layers.

    The derivatives are those of isograd's conventions (relu'(0) = 0, ties share), by `jax.custom_vjp`. Where
    a layer needs that, JAX refuses forward mode (jax.jvp, jax.jacfwd, jax.hessian).

    Parameters
    ----------
    net : Network
        One of float64 needs jax.enable_x64(True), or the setting jax_enable_x64, here and in every call:
        without it JAX has no such arrays.

    Returns
    -------
    NetworkFunctionWithState
        Its arrays are copies, on JAX's default device.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If `net` is no network or holds arrays that do not belong there; by `apply`, when it is called or
        traced, if an argument is not as described. The message names it.
    UnsupportedError
        If the network is of float64 and JAX is not.
    """
    arrays = check_network(net).checked_arrays()
    architecture = net.architecture
    _check_precision(architecture)

    @lru_cache(maxsize=_KEPT_GRAPHS)
    def graph(shape: Shape, mode: Mode) -> Function:
        function = batch_function(architecture, shape, mode)
        check_primitives("jax", function, LOWERINGS)
        return function

    def apply(
        params: Mapping[str, jax.Array],
        state: Mapping[str, jax.Array],
        x: jax.Array,
        *,
        train: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Arrays]:
        _check_precision(architecture)
        shapes = architecture.array_shapes
        for name, given, declared in (
            ("params", params, architecture.parameters),
            ("state", state, architecture.state),
        ):
            if not isinstance(given, Mapping):
                raise ArgumentTypeError(
                    f"{name} is a {type(given).__name__}; expected a dict of arrays by path"
                )
            check_arrays(given, {path: shapes[path] for path in declared}, architecture.dtype, name)
        check_array(INPUT, x, np.shape(x), architecture.dtype)
        function = graph(np.shape(x), "train" if flag("train", train) else "evaluate")
        inputs = {INPUT: x, **(_masks(architecture, function, key) if train else {})}
        (output,), new = evaluate(
            function, jax.default_backend(), *function.in_order(inputs, {**params, **state}), native=True
        )
        after = dict(zip(function.state, new, strict=True))
        return output, {path: after[path] for path in state}

    return NetworkFunctionWithState(
        {path: jax.numpy.array(arrays[path]) for path in architecture.parameters},
        {path: jax.numpy.array(arrays[path]) for path in architecture.state},
        apply,
    )


def load_into(
    net: Network, params: Mapping[str, jax.Array], state: Mapping[str, jax.Array] | None = None
) -> None:
    """Give a network what was trained: the way back of `as_function` and `as_function_with_state`.

    Parameters
    ----------
    net : Network
        Its `training` is None afterwards: a run can not be resumed from other arrays.
    params : mapping of path to array
        Exactly the network's paths, of their shapes and the network's dtype.
    state : mapping of path to array, optional
        Likewise; without it the network's own stays.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If something is missing, too much, or of another shape or dtype; the message names the path, and the
        network is as it was.
    """
    check_network(net)
    kept: Mapping[str, Any] = net.state if state is None else state
    for name, given in (("params", params), ("state", kept)):
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(f"{name} is a {type(given).__name__}; expected a dict of arrays by path")
    adopt_arrays(net, {p: np.asarray(a) for p, a in {**params, **kept}.items()}, "params and state")


def _check_precision(architecture: Architecture) -> None:
    if architecture.dtype == "float64" and jax.dtypes.canonicalize_dtype("float64") != "float64":
        raise UnsupportedError(
            "net is of float64, which JAX has only under jax.enable_x64(True) or with the setting "
            "jax_enable_x64; expected one of them, or a network of float32"
        )


def _masks(architecture: Architecture, function: Function, key: jax.Array | None) -> Arrays:
    """Dropout masks by the names of the function's inputs."""
    specs = architecture.masks
    if not specs:
        return {}
    if key is None:
        raise ArgumentError("key is None; expected a key of jax.random: the network has dropout to draw")
    keys = jax.random.split(key, len(specs))
    return {
        MASK + path: jax.random.bernoulli(k, 1 - spec.p_dropout, function.inputs[MASK + path].shape)
        for k, (path, spec) in zip(keys, specs.items(), strict=True)
    }
