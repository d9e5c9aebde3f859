"""A network as a module: a loop of one's own trains it as `Network.SGD` does; PyTorch's ways with modules."""

from __future__ import annotations

import copy
import io
import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.utils import parametrize

from isograd import (
    BatchNorm,
    Convolution,
    Dataset,
    Dropout,
    Flatten,
    FullyConnected,
    MaxPool,
    Network,
    Softmax,
)
from isograd import graph as G
from isograd.embedding import INPUT, OUTPUT, batch_function
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError
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
from isograd_torch import NetworkModule, as_module, load_into
from isograd_torch.backend import TorchBackend

BACKEND = TorchBackend()
ARITHMETIC = Arithmetic.of(BACKEND, "cpu")


def arrays_of(module: NetworkModule) -> dict[str, np.ndarray]:
    return {path: tensor.numpy().copy() for path, tensor in module.state_dict().items()}


def test_a_loop_of_ones_own_trains_as_network_sgd_does() -> None:
    data = Dataset(normal_images(8), np.arange(8) % 3)
    plan, begin = StepPlan(4, 0.125), smooth_network()
    module = as_module(begin)
    optimiser = torch.optim.SGD(module.parameters(), lr=plan.eta)
    found: list[dict[str, np.ndarray]] = []
    for epoch in range(2):
        order = epoch_order(begin.seed, epoch, len(data), shuffle=True)
        for rows in order.reshape(-1, plan.mini_batch_size):
            x, y = torch.tensor(data.inputs[rows]), torch.tensor(data.labels[rows], dtype=torch.int64)
            optimiser.zero_grad()
            cost = F.cross_entropy(module(x), y)
            cost.backward()
            optimiser.step()
            found.append({"cost": cost.detach().numpy(), **arrays_of(module)})
    hold_trajectory(begin, data, plan, found, ARITHMETIC)
    theirs = trained_by_sgd(smooth_network(), data, plan, 2, BACKEND)
    assert len(found) == len(theirs) == 4
    hold_trajectory(begin, data, plan, theirs, ARITHMETIC)
    load_into(begin, module)
    assert {p: a.tobytes() for p, a in begin.checked_arrays().items()} == {
        p: a.tobytes() for p, a in arrays_of(module).items()
    }


@given(data=st.data(), seed=st.integers(0, 999), rows=st.integers(1, 3))
@examples(8)
def test_evaluation_and_training_are_what_the_layers_define(
    data: st.DataObject, seed: int, rows: int
) -> None:
    layers, shape = data.draw(layer_lists())
    net = Network(layers, shape, seed, init="n_in", dtype="float64")
    module = as_module(net)
    x = np.random.default_rng(seed).normal(size=(rows, *shape))
    for mode in ("train", "evaluate"):
        function = batch_function(net.architecture, x.shape, mode)
        torch.manual_seed(seed)
        before = arrays_of(module)
        output = module.train(mode == "train")(torch.tensor(x))
        # The same masks once more, in the order in which the layers declare them.
        torch.manual_seed(seed)
        masks = {
            name: torch.empty(v.shape, dtype=torch.bool)
            .bernoulli_(1 - net.architecture.masks[name.removeprefix("mask/")].p_dropout)
            .numpy()
            for name, v in function.inputs.items()
            if name != INPUT
        }
        found = {OUTPUT: output.detach().numpy(), **{p: arrays_of(module)[p] for p in net.state}}
        wanted = {OUTPUT: function.outputs[OUTPUT]}
        wanted |= {p: function.updates.get(p, function.state[p]) for p in net.state}
        agree(found, wanted, {INPUT: x, **masks, **before}, ARITHMETIC)


def test_the_state_dict_has_isograds_paths_and_loads_into_another_module() -> None:
    net = smooth_network("float32")
    module, other = as_module(net), as_module(Network(net.layers, IMAGE, seed=9))
    assert set(module.state_dict()) == {*net.parameters, *net.state}
    assert {name for name, _ in module.named_parameters()} == set(net.parameters)
    assert {name for name, _ in module.named_buffers()} == set(net.state)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.tensor(normal_images(5, "float32"))
    assert torch.equal(other.eval()(x), module.eval()(x))
    twin, unpickled = copy.deepcopy(module), io.BytesIO()
    torch.save(module, unpickled)
    unpickled.seek(0)
    for same in (twin, torch.load(unpickled, weights_only=False)):
        assert torch.equal(same(x), module(x))


def test_the_module_has_copies_and_the_network_gets_copies() -> None:
    net = smooth_network("float32")
    before = {path: array.tobytes() for path, array in net.checked_arrays().items()}
    module = as_module(net)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert {path: array.tobytes() for path, array in net.checked_arrays().items()} == before
    load_into(net, module.state_dict())
    after = {path: array.tobytes() for path, array in net.checked_arrays().items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert {path: array.tobytes() for path, array in net.checked_arrays().items()} == after != before


def test_a_module_in_another_dtype_computes_in_it() -> None:
    net = smooth_network("float32")
    module, x = as_module(net).double().eval(), normal_images(4)
    assert module(torch.tensor(x)).dtype == torch.float64
    function = batch_function(smooth_network("float64").architecture, x.shape, "evaluate")
    found = {OUTPUT: module(torch.tensor(x)).detach().numpy()}
    agree(found, function.outputs, {INPUT: x, **arrays_of(module)}, ARITHMETIC)
    with pytest.raises(ArgumentTypeError, match=r"trained: first.weight is float64; expected float32"):
        load_into(net, module)


def test_only_training_moves_buffers_and_draws() -> None:
    net = Network([BatchNorm(), Flatten(), Dropout(0.5), Softmax(3, weight_init="n_in")], IMAGE)
    module, x = as_module(net), torch.tensor(normal_images(5, "float32"))
    generator, before = torch.get_rng_state(), arrays_of(module)
    module.eval()(x)
    assert torch.equal(torch.get_rng_state(), generator)
    assert {p: a.tobytes() for p, a in arrays_of(module).items()} == {
        p: a.tobytes() for p, a in before.items()
    }
    module.train()(x)
    assert not torch.equal(torch.get_rng_state(), generator)
    assert {p for p, a in arrays_of(module).items() if a.tobytes() != before[p].tobytes()} == set(net.state)


def test_gradients_flow_to_the_input_and_inference_needs_none() -> None:
    module, x = (
        as_module(smooth_network("float32")).eval(),
        torch.tensor(normal_images(2, "float32"), requires_grad=True),
    )
    module(x).sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).any())
    with torch.inference_mode():
        assert not module.train()(x).requires_grad


def test_tied_weights_are_one_parameter() -> None:
    net = Network([FullyConnected(3), FullyConnected(3), Softmax(2, weight_init="n_in")], (3,))
    module: Any = as_module(net)
    module.get_submodule("1").weight = module.get_submodule("0").weight
    module(torch.ones(2, 3)).sum().backward()
    assert len(list(module.parameters())) == 5


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
    module, x = as_module(net).eval(), torch.tensor(data, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.tanh(module(x)).sum(), x, create_graph=True)
    (gradient * gradient).sum().backward()
    parameters: Any = dict(module.named_parameters())
    found = {path: parameters[path].grad.numpy() for path in paths}
    agree(found, wanted, {INPUT: data, **net.checked_arrays()}, ARITHMETIC)


class Doubled(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def test_a_parametrised_weight_is_what_it_amounts_to() -> None:
    net = Network([Softmax(2, bias=False, weight_init="n_in")], (3,))
    module, x = as_module(net), torch.ones(2, 3)
    before = module(x)
    parametrize.register_parametrization(module.get_submodule("0"), "weight", Doubled())
    assert torch.equal(module(x), 2 * before)
    with pytest.raises(ArgumentError, match=r"trained: 0.weight is missing"):
        load_into(net, module)
    parametrize.remove_parametrizations(module.get_submodule("0"), "weight")
    load_into(net, module)
    assert torch.equal(as_module(net)(x), 2 * before)


def test_threads_evaluate_side_by_side() -> None:
    module, found = as_module(smooth_network("float32")).eval(), {}

    def run(rows: int) -> None:
        with torch.no_grad():
            found[rows] = module(torch.tensor(normal_images(rows, "float32")))

    threads = [threading.Thread(target=run, args=(rows,)) for rows in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows, output in found.items():
        with torch.no_grad():
            assert torch.equal(output, module(torch.tensor(normal_images(rows, "float32"))))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((2, *IMAGE), "float32"), ArgumentTypeError, "x is a ndarray; expected a torch.Tensor"),
        (torch.ones(2, *IMAGE).double(), ArgumentTypeError, "x is float64; expected the network's float32"),
        (torch.ones(2, 1, 4, 5), ShapeError, r"x has examples of shape \[1, 4, 5\]; .* \[1, 4, 4\]"),
        (torch.ones(0, *IMAGE), ShapeError, r"x has shape \[0, 1, 4, 4\]; expected .* at least one row"),
        (torch.ones(2, *IMAGE, device="meta"), ArgumentError, "x lies on meta; expected it on cpu"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(x: Any, error: type[IsogradError], message: str) -> None:
    with pytest.raises(error, match=message):
        as_module(smooth_network("float32"))(x)


def test_a_module_of_half_precision_or_of_two_dtypes_is_refused() -> None:
    module, x = as_module(smooth_network("float32")), torch.ones(2, *IMAGE)
    with pytest.raises(ArgumentTypeError, match="the module is float16; expected float32 or float64"):
        copy.deepcopy(module).half()(x)
    module.get_submodule("3").double()
    with pytest.raises(ArgumentTypeError, match=r"3.weight is float64; expected the network's float32"):
        module(x)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"first.weight": None}, ArgumentError, r"trained: first.weight is missing"),
        ({"9.weight": torch.ones(2)}, ArgumentError, r"trained: 9.weight belongs to nothing in this network"),
        ({"4.bias": torch.ones(2)}, ShapeError, r"trained: 4.bias has shape \[2\]; expected \[3\]"),
        ({"4.bias": torch.ones(3).bfloat16()}, ArgumentTypeError, r"4.bias is bfloat16; expected float32"),
        ({"4.bias": np.ones(3)}, ArgumentTypeError, r"4.bias is a ndarray; expected a torch.Tensor"),
    ],
)
def test_what_is_no_module_of_the_network_is_refused_and_changes_nothing(
    change: dict[str, Any], error: type[IsogradError], message: str
) -> None:
    net = smooth_network("float32")
    before = {path: array.tobytes() for path, array in net.checked_arrays().items()}
    given = {p: tensor + 1 for p, tensor in as_module(net).state_dict().items()} | change
    with pytest.raises(error, match=message):
        load_into(net, {path: tensor for path, tensor in given.items() if tensor is not None})
    assert {path: array.tobytes() for path, array in net.checked_arrays().items()} == before


def test_what_is_no_network_or_no_module_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="net is a list; expected a Network"):
        as_module([])  # type: ignore[arg-type]
    with pytest.raises(
        ArgumentTypeError, match=r"trained is a int; expected a torch.nn.Module or its state_dict"
    ):
        load_into(smooth_network(), 3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"train.weight has a name that PyTorch's modules need"):
        as_module(Network([Softmax(2, name="train")], (3,)))
