"""A network as a pure function: a loop of one's own trains it as `Network.SGD` does; jit, grad and vmap."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import (
    Convolution,
    ConvPool,
    Dataset,
    Dropout,
    FullyConnected,
    MaxPool,
    Network,
    Softmax,
)
from isograd import graph as G
from isograd.embedding import INPUT, OUTPUT, batch_function
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError, UnsupportedError
from isograd.training.draws import epoch_order
from isograd_conformance.bounds import Arithmetic, agree
from isograd_conformance.networks import StepPlan
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.networks import layer_lists
from isograd_conformance.trajectory import (
    IMAGE,
    hold_trajectory,
    normal_images,
    smooth_network,
    trained_by_sgd,
)
from isograd_jax import as_function, as_function_with_state, load_into
from isograd_jax.backend import JaxBackend

BACKEND = JaxBackend()
ARITHMETIC = Arithmetic.of(BACKEND, "cpu")


def bits(arrays: Any) -> dict[str, bytes]:
    return {path: np.asarray(array).tobytes() for path, array in arrays.items()}


def test_a_loop_of_ones_own_trains_as_network_sgd_does() -> None:
    begin, plan = smooth_network("float64"), StepPlan(4, 0.125)
    data = Dataset(normal_images(8, "float64"), np.arange(8) % 3)
    found: list[dict[str, np.ndarray]] = []
    with jax.enable_x64(True):
        params, state, apply = as_function_with_state(begin)

        def cost_of(params: Any, state: Any, x: Any, y: Any) -> Any:
            z, new_state = apply(params, state, x, train=True)
            return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(y)), y]), new_state

        step = jax.jit(jax.value_and_grad(cost_of, has_aux=True))
        for epoch in range(2):
            order = epoch_order(begin.seed, epoch, len(data), shuffle=True)
            for rows in order.reshape(-1, plan.mini_batch_size):
                (cost, state), gradients = step(params, state, data.inputs[rows], data.labels[rows])
                params = jax.tree.map(lambda w, g: w - plan.eta * g, params, gradients)
                found.append(
                    {"cost": np.asarray(cost), **{p: np.asarray(a) for p, a in {**params, **state}.items()}}
                )
    hold_trajectory(begin, data, plan, found, ARITHMETIC)
    theirs = trained_by_sgd(smooth_network("float64"), data, plan, 2, BACKEND)
    assert len(found) == len(theirs) == 4
    hold_trajectory(begin, data, plan, theirs, ARITHMETIC)
    load_into(begin, params, state)
    assert bits(begin.checked_arrays()) == bits({**params, **state})


@given(data=st.data(), seed=st.integers(0, 999), rows=st.integers(1, 3))
@examples(3)
def test_evaluation_and_training_are_what_the_layers_define(
    data: st.DataObject, seed: int, rows: int
) -> None:
    layers, shape = data.draw(layer_lists())
    net = Network(layers, shape, seed, init="n_in", dtype="float64")
    x = np.random.default_rng(seed).normal(size=(rows, *shape))
    for mode in ("train", "evaluate"):
        function = batch_function(net.architecture, x.shape, mode)
        masks: dict[str, np.ndarray] = {}
        with jax.enable_x64(True):
            params, state, apply = as_function_with_state(net)
            key = jax.random.key(seed)
            traced = jax.jit(apply, static_argnames="train")
            z, new_state = traced(params, state, x, train=mode == "train", key=key)
            if mode == "train" and net.architecture.masks:
                specs = net.architecture.masks.items()
                for k, (path, spec) in zip(jax.random.split(key, len(specs)), specs, strict=True):
                    drawn = jax.random.bernoulli(k, 1 - spec.p_dropout, (rows, *spec.shape))
                    masks[f"mask/{path}"] = np.asarray(drawn)
        found = {OUTPUT: np.asarray(z), **{p: np.asarray(a) for p, a in new_state.items()}}
        wanted = {OUTPUT: function.outputs[OUTPUT]}
        wanted |= {p: function.updates.get(p, function.state[p]) for p in net.state}
        agree(found, wanted, {INPUT: x, **masks, **net.checked_arrays()}, ARITHMETIC)


@pytest.fixture(scope="module")
def branching() -> Network:
    """With what has a derivative of its own: relu and maxima."""
    return Network([ConvPool(2, window=3, activation="relu"), Softmax(3, weight_init="n_in")], (1, 4, 4))


def test_vmap_over_examples_and_over_parameters(branching: Network) -> None:
    params, state, apply = as_function_with_state(branching)
    x = jnp.asarray(normal_images(5, "float32"))
    one = jax.jit(jax.vmap(lambda x: apply(params, state, x[None])[0][0]))(x)
    function = batch_function(branching.architecture, x.shape, "evaluate")
    values = {INPUT: normal_images(5, "float32"), **branching.checked_arrays()}
    agree({OUTPUT: np.asarray(one)}, function.outputs, values, ARITHMETIC)
    several = jax.tree.map(lambda w: jnp.stack([w, -w, 0.5 * w]), params)
    outputs = jax.jit(jax.vmap(lambda params: apply(params, state, x)[0]))(several)
    for member, output in enumerate(outputs):
        arrays = {path: np.asarray(array[member]) for path, array in several.items()}
        agree(
            {OUTPUT: np.asarray(output)},
            function.outputs,
            {INPUT: normal_images(5, "float32"), **arrays},
            ARITHMETIC,
        )


def test_gradients_of_examples_one_by_one_add_up_to_that_of_the_batch(branching: Network) -> None:
    params, state, apply = as_function_with_state(branching)
    x = jnp.asarray(normal_images(4, "float32"))

    def cost(params: Any, x: Any) -> Any:
        return jnp.sum(jnp.tanh(apply(params, state, x[None])[0]))

    each = jax.jit(jax.vmap(jax.grad(cost), (None, 0)))(params, x)
    function = batch_function(branching.architecture, x.shape, "evaluate")
    total = G.tanh(function.outputs[OUTPUT]).sum()
    wanted = dict(zip(params, G.grad(total, [function.state[path] for path in params]), strict=True))
    found = {path: np.asarray(array.sum(0)) for path, array in each.items()}
    agree(found, wanted, {INPUT: normal_images(4, "float32"), **branching.checked_arrays()}, ARITHMETIC)


def test_gradients_of_gradients_are_those_of_the_graph() -> None:
    """The gradient of a penalty on the input's gradient, through what has derivatives of isograd's own."""
    layers = [
        Convolution(2, window=2, activation="softplus"),
        MaxPool(window=2),
        FullyConnected(4, activation="relu"),
        FullyConnected(3, activation=lambda z: G.maximum(z, 0.5 * z) + G.logsumexp(z, axes=1).reshape(-1, 1)),
        Softmax(3, weight_init="n_in"),
    ]
    net = Network(layers, (1, 5, 5), seed=1, init="n_in", dtype="float64")
    data = np.random.default_rng(0).normal(size=(2, 1, 5, 5))
    function = batch_function(net.architecture, data.shape, "evaluate")
    slope = G.grad(G.tanh(function.outputs[OUTPUT]).sum(), function.inputs[INPUT])
    paths = [path for path in net.parameters if path != "4.bias"]
    wanted = dict(
        zip(paths, G.grad((slope * slope).sum(), [function.state[path] for path in paths]), strict=True)
    )
    with jax.enable_x64(True):
        params, state, apply = as_function_with_state(net)

        def penalty(params: Any) -> Any:
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(apply(params, state, x)[0])))(data) ** 2)

        gradients = jax.jit(jax.grad(penalty))(params)
    found = {path: np.asarray(gradients[path]) for path in paths}
    agree(found, wanted, {INPUT: data, **net.checked_arrays()}, ARITHMETIC)


def test_dropout_is_a_function_of_the_key_alone() -> None:
    params, state, apply = as_function_with_state(
        Network([Dropout(0.5), Softmax(3, weight_init="n_in")], IMAGE)
    )
    assert state == {}
    training = jax.jit(apply, static_argnames="train")
    x, key = jnp.asarray(normal_images(4, "float32")), jax.random.key(3)
    first, again = (training(params, state, x, train=True, key=key)[0] for _ in range(2))
    other = training(params, state, x, train=True, key=jax.random.key(4))[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ArgumentError, match=r"key is None; expected a key of jax\.random"):
        apply(params, state, x, train=True)


def test_without_state_the_function_is_that_of_the_networks_own() -> None:
    net = smooth_network("float32")
    x = jnp.asarray(normal_images(4, "float32"))
    params, apply = as_function(net)
    _, state, with_state = as_function_with_state(net)
    assert jnp.array_equal(apply(params, x), with_state(params, state, x)[0])
    with pytest.raises(UnsupportedError, match=r"^train is True, .* 1.running_mean, .*_with_state"):
        apply(params, x, train=True)
    before = bits(net.state)
    load_into(net, {path: array + 1 for path, array in params.items()})
    assert bits(net.state) == before
    assert bits(net.parameters) == bits({path: array + 1 for path, array in params.items()})


def test_a_network_without_state_trains_jits_and_maps_as_a_function_of_parameters_and_batch() -> None:
    layers = [Dropout(0.5), FullyConnected(4, "tanh"), Softmax(3, weight_init="n_in")]
    params, apply = as_function(Network(layers, (5,), init="n_in"))
    x, key = jnp.asarray(np.random.default_rng(0).random((6, 5), np.float32)), jax.random.key(1)

    def cost(params: Any, x: Any, key: Any) -> Any:
        return apply(params, x, train=True, key=key).sum()

    gradients = jax.jit(jax.grad(cost))(params, x, key)
    assert {path: g.shape for path, g in gradients.items()} == {path: w.shape for path, w in params.items()}
    each = jax.vmap(lambda row, key: apply(params, row[None], train=True, key=key)[0])
    assert each(x, jax.random.split(key, 6)).shape == (6, 3)
    with pytest.raises(ArgumentError, match=r"^key is None"):
        apply(params, x, train=True)


def test_double_precision_is_asked_for_and_never_lost_silently() -> None:
    net = smooth_network("float64")
    with pytest.raises(UnsupportedError, match=r"net is of float64, .* jax.enable_x64\(True\)"):
        as_function(net)
    with jax.enable_x64(True):
        params, state, apply = as_function_with_state(net)
        assert {a.dtype.name for a in params.values()} == {"float64"}
    with pytest.raises(UnsupportedError, match="net is of float64"):
        apply(params, state, jnp.asarray(normal_images(2, "float32")))
    assert jax.dtypes.canonicalize_dtype("float64") == "float32"


def test_the_function_has_copies_of_the_arrays() -> None:
    net = smooth_network("float32")
    params, state, _ = as_function_with_state(net)
    before = bits({**params, **state})
    for array in net.checked_arrays().values():
        array += 1
    assert bits({**params, **state}) == before
    assert (set(params), set(state)) == (set(net.parameters), set(net.state))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.ones((2, 1, 4, 5), "float32")}, ShapeError, r"x has examples of shape \[1, 4, 5\]"),
        (
            {"x": np.ones((0, *IMAGE), "float32")},
            ShapeError,
            r"x has shape \[0, 1, 4, 4\]; .* at least one row",
        ),
        ({"x": np.ones((2, *IMAGE))}, ArgumentTypeError, "x is float64; expected float32"),
        ({"x": [1.0]}, ArgumentTypeError, "x is a list; expected an array"),
        ({"params": {}}, ArgumentError, "params: first.weight is missing"),
        ({"params": 3}, ArgumentTypeError, "params is a int; expected a dict of arrays by path"),
        ({"state": {"9.mean": 1}}, ArgumentError, "state: 1.running_mean is missing"),
        ({"train": 1}, ArgumentTypeError, "train is 1; expected True or False"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    change: dict[str, Any], error: type[IsogradError], message: str
) -> None:
    params, state, apply = as_function_with_state(smooth_network("float32"))
    arguments: Any = {"params": params, "state": state, "x": normal_images(2, "float32"), **change}
    with pytest.raises(error, match=message):
        apply(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"first.weight": None}, ArgumentError, r"params and state: first.weight is missing"),
        ({"9.weight": np.ones(2)}, ArgumentError, r"9.weight belongs to nothing in this network"),
        ({"4.bias": np.ones(2, "float32")}, ShapeError, r"4.bias has shape \[2\]; expected \[3\]"),
        ({"4.bias": np.ones(3)}, ArgumentTypeError, r"4.bias is float64; expected float32"),
    ],
)
def test_what_is_not_of_the_network_is_refused_and_changes_nothing(
    change: dict[str, Any], error: type[IsogradError], message: str
) -> None:
    net = smooth_network("float32")
    before = bits(net.checked_arrays())
    params, state, _ = as_function_with_state(net)
    given = {path: array + 1 for path, array in params.items()} | change
    with pytest.raises(error, match=message):
        load_into(net, {path: array for path, array in given.items() if array is not None}, state)
    assert bits(net.checked_arrays()) == before


def test_what_is_no_network_or_no_dict_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="net is a list; expected a Network"):
        as_function([])  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="params is a int; expected a dict of arrays by path"):
        load_into(smooth_network("float32"), 3)  # type: ignore[arg-type]
