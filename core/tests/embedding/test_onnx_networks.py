"""An exported network is the network: within the derived bound, for any number of examples, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isograd
from isograd import (
    Activation,
    BatchNorm,
    ConvPool,
    Cost,
    CrossEntropy,
    Dropout,
    FullyConnected,
    Layer,
    Network,
    Quadratic,
    Softmax,
    plugins,
)
from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError, UnsupportedError
from isograd.graph.simplify import simplify_tensors
from isograd.layers import from_json

pytest.importorskip("isograd_conformance")
from isograd.onnx import Owner, export, graph_model, model, network_model
from isograd_conformance.bounds import agree
from isograd_conformance.layers import OUTPUT, judge_outputs, layer_outputs
from isograd_conformance.profiles import PHASES
from isograd_conformance.strategies.networks import every_kind_of_layer, layer_lists

Run = Callable[..., Callable[[dict[str, Any]], dict[str, Any]]]
SCALE = 1 / 256


def settled(net: Network, seed: int) -> Network:
    """The network with statistics as training leaves them, and no parameter 0."""
    rng = np.random.default_rng(seed)
    for path, array in net.state.items():
        drawn = (
            rng.uniform(0.5, 2, array.shape) if path.endswith("variance") else rng.normal(size=array.shape)
        )
        net.state[path] = drawn.astype(net.dtype)
    return net


def images(net: Network, examples: int, seed: int) -> np.ndarray:
    shape = (examples, *net.input_shape)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@dataclass(frozen=True)
class Instrumented:
    """A network on so many rows, with each layer's output and what it compares as further outputs."""

    net: Network

    def function(self, rows: int) -> G.Function:
        """As the suite judges it: rows of a data set."""
        architecture, variables = self.net.architecture, self.net.architecture.variables()
        inputs = {
            "inputs": G.variable("inputs", (rows, *self.net.input_shape), "uint8"),
            "rows": G.variable("rows", (rows,), "int32"),
        }
        x = architecture.read(G.gather(inputs["inputs"], inputs["rows"]), SCALE)
        outputs, _ = architecture.forward(x, variables, variables, "evaluate", {})
        return G.simplify(G.Function(inputs, layer_outputs(outputs), variables))

    def model(self) -> Any:
        architecture, variables = self.net.architecture, self.net.architecture.variables()

        def build(rows: int) -> dict[str, tuple[Owner, G.Tensor]]:
            x = architecture.read(G.variable("input", (rows, *self.net.input_shape), "uint8"), SCALE)
            layers, _ = architecture.forward(x, variables, variables, "evaluate", {})
            z = layers[-1]
            named = layer_outputs(layers) | {"probabilities": G.softmax(z), "class": G.argmax(z, axis=1)}
            tensors = simplify_tensors(list(named.values()))
            owner = Owner("network", "the network")
            return {name: (owner, tensor) for name, tensor in zip(named, tensors, strict=True)}

        return graph_model(build, self.net.checked_arrays())


@given(
    layers=layer_lists(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**16),
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=2, unique=True),
)
@settings(max_examples=12, derandomize=True, deadline=None, phases=PHASES)
def test_every_layer_of_any_network_is_within_its_bound_for_any_number_of_examples(
    layers: Any, dtype: str, seed: int, sizes: list[int], subject: Any, run_onnx: Run
) -> None:
    net = settled(Network(*layers, seed, dtype=dtype), seed)
    shown = Instrumented(net)
    layer_by_layer = run_onnx(shown.model(), optimised=False)
    whole = run_onnx(network_model(net, input_dtype="uint8", scale=SCALE))
    arrays = net.checked_arrays()
    for rows in sizes:
        x = images(net, rows, seed)
        found = layer_by_layer({"input": x})
        values = {"inputs": x, "rows": np.arange(rows, dtype=np.int32), **arrays}
        for verdict in judge_outputs(subject, net.architecture, shown.function(rows), SCALE, values, found):
            verdict.raise_for_problem(subject)
        hold_head(found, len(net.layers) - 1, subject)
        hold_outputs(net, whole({"input": x}), x, subject)


def hold_head(found: dict[str, Any], last: int, subject: Any) -> None:
    """Fail unless probabilities and class are those of the last layer's output, as it was computed."""
    z = G.variable("z", found[f"{OUTPUT}{last}"].shape, found[f"{OUTPUT}{last}"].dtype.name)
    wanted = {"probabilities": G.softmax(z), "class": G.argmax(z, axis=1)}
    agree({name: found[name] for name in wanted}, wanted, {"z": found[f"{OUTPUT}{last}"]}, subject.arithmetic)


def hold_outputs(net: Network, found: dict[str, Any], x: np.ndarray, subject: Any) -> None:
    """Fail unless the outputs are those of the network, from end to end, and agree with each other."""
    variables = net.architecture.variables()
    read = net.architecture.read(G.variable("input", x.shape, "uint8"), SCALE)
    z = net.forward(read, variables, variables, "evaluate", {})[0][-1]
    wanted = {"probabilities": G.softmax(z), "class": G.argmax(z, axis=1)}
    # An optimised model may distribute a factor over a sum, such as that of dropout.
    arithmetic = replace(subject.arithmetic, reorders=True)
    agree(found, wanted, {"input": x, **net.checked_arrays()}, arithmetic)
    # Rounding may make two probabilities equal, but it turns no order around.
    rows = np.arange(len(x))
    assert (found["probabilities"][rows, found["class"]] == found["probabilities"].max(axis=1)).all()


@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_one_model_serves_a_batch_of_any_size(rows: int, library: Any, subject: Any, run_onnx: Run) -> None:
    library("onnx")
    net = settled(Network(every_kind_of_layer(), (1, 12, 12), 3), 3)
    x = images(net, rows, 5)
    found = run_onnx(network_model(net, input_dtype="uint8", scale=SCALE))({"input": x})
    assert (found["probabilities"].shape, found["class"].shape) == ((rows, 4), (rows,))
    if rows:
        hold_outputs(net, found, x, subject)


@dataclass(frozen=True, repr=False)
class Swish(Layer):
    """x * sigmoid(x), times a trained factor of each feature: a layer of somebody's own."""

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def parameters(self, input_shape: Any) -> Any:
        ones = isograd.layers.Constant(1.5)
        return {"factor": isograd.layers.ParameterSpec(input_shape, ones, 1, 1, regularised=False)}

    def build(self, inputs: Any, params: Any, state: Any, mode: Any, masks: Any) -> Any:
        (x,) = inputs
        return (x * G.sigmoid(x) * params["factor"],), {}


class SwishPlugin:
    @isograd.hookimpl
    def isograd_layers(self) -> list[type[Layer]]:
        return [Swish]


def test_a_layer_of_a_plugin_needs_no_code_for_its_export(subject: Any, run_onnx: Run) -> None:
    with plugins.registered(SwishPlugin()):
        net = Network([FullyConnected(5, "linear"), Swish(), Softmax(3, weight_init="n_in")], (4,), 1)
        made = network_model(net, input_dtype="uint8", scale=SCALE)
        (text,) = (entry.value for entry in made.metadata_props if entry.key == "layers")
        assert from_json(text) == net.layers
    assert "1.factor" in {array.name for array in made.graph.initializer}
    x = images(net, 6, 2)
    hold_outputs(net, run_onnx(made)({"input": x}), x, subject)


def test_an_unregistered_function_exports_and_only_its_name_is_missing(subject: Any, run_onnx: Run) -> None:
    net = Network([Activation(lambda x: x * x + 1), Softmax(3, weight_init="n_in")], (4,), 1)
    made = network_model(net, input_dtype="uint8", scale=SCALE)
    assert "layers" not in {entry.key for entry in made.metadata_props}
    x = images(net, 6, 2)
    hold_outputs(net, run_onnx(made)({"input": x}), x, subject)


def beside_ones(x: G.Tensor) -> G.Tensor:
    return G.concat(x, G.broadcast_to(G.constant([[1.0, 2.0]], x.dtype), (x.shape[0], 2)), axis=1)


def halves_beside_ones(x: G.Tensor) -> G.Tensor:
    rows = x.shape[0]
    ones = G.broadcast_to(G.constant([1.0], x.dtype), (2 * rows, 1))
    return G.concat(x.reshape(2 * rows, 3), ones, axis=1).reshape(rows, 8)


def halves(x: G.Tensor) -> G.Tensor:
    rows = x.shape[0]
    return (x.reshape(2 * rows, 3) * G.iota(shape=(2 * rows, 3), axis=1, dtype=x.dtype)).reshape(rows, 6)


def columns_in_another_order(x: G.Tensor) -> G.Tensor:
    return G.gather(x.transpose(), G.constant([5, 0, 0, 3, 2, 1])).transpose()


def columns_added_up(x: G.Tensor) -> G.Tensor:
    return G.scatter_add(x.transpose(), G.constant([1, 0, 1, 3, 1, 0]), size=4).transpose()


def each_ones_own_products(x: G.Tensor) -> G.Tensor:
    matrices = x.reshape(x.shape[0], 2, 3)
    return (matrices @ matrices.transpose(0, 2, 1)).reshape(x.shape[0], 4)


def spread_out(x: G.Tensor) -> G.Tensor:
    return G.pad(x, low=(0, 1), high=(0, 2), interior=(0, 2), value=1.5)[:, 1::2]


def pixels_back_in_their_places(x: G.Tensor) -> G.Tensor:
    image = x.reshape(x.shape[0], 1, 2, 3)
    index = G.max_pool2d_index(image, window=2, stride=1)
    whole = G.unpool2d(G.pool_gather2d(image, index), index, input_size=(2, 3))
    return (whole + G.sum_pool2d_t(image, window=1, stride=1, input_size=(2, 3))).reshape(x.shape[0], 6)


def upsampled(x: G.Tensor) -> G.Tensor:
    image = x.reshape(x.shape[0], 1, 2, 3)
    filters = G.constant(np.arange(4.0).reshape(1, 1, 2, 2), x.dtype)
    return G.conv2d_dx(image, filters, input_size=(4, 7), stride=2).reshape(x.shape[0], 28)


ROW_BY_ROW = [
    beside_ones,
    halves_beside_ones,
    halves,
    columns_in_another_order,
    columns_added_up,
    each_ones_own_products,
    spread_out,
    pixels_back_in_their_places,
    upsampled,
]


@dataclass(frozen=True, repr=False)
class Function(Layer):
    """A function of the rows, as a layer with an output of any size."""

    function: Any

    def output_shape(self, input_shape: Any) -> Any:
        return self.function(G.variable("x", (1, *input_shape))).shape[1:]

    def build(self, inputs: Any, params: Any, state: Any, mode: Any, masks: Any) -> Any:
        return (self.function(inputs[0]),), {}


@pytest.mark.parametrize("function", ROW_BY_ROW)
def test_shapes_follow_the_number_of_examples_wherever_the_graph_has_them(
    function: Any, subject: Any, run_onnx: Run
) -> None:
    net = Network([Function(function), Softmax(3, weight_init="n_in")], (6,), 2)
    run = run_onnx(network_model(net, input_dtype="uint8", scale=SCALE))
    for rows in (1, 2, 5):
        x = images(net, rows, rows)
        hold_outputs(net, run({"input": x}), x, subject)


MIXING: dict[str, tuple[Callable[[G.Tensor], G.Tensor], str]] = {
    "mean over the batch": (lambda x: x + x.mean(0, keepdims=True), "reduce_sum works along axis 0"),
    "products of rows": (lambda x: (x @ x.transpose()) @ x, "two axes"),
    "first row": (lambda x: x + x[:1], "slice works along axis 0"),
    "number of the row": (
        lambda x: x + G.iota(shape=x.shape, axis=0, dtype=x.dtype),
        "iota numbers the rows",
    ),
    "rows among each other": (
        lambda x: x.reshape(x.shape[1], x.shape[0]).transpose(),
        "reshape mixes the elements of several rows",
    ),
    "the number of rows": (lambda x: x * x.shape[0], "depends on the number of rows"),
    "another graph": (lambda x: G.relu(x) if x.shape[0] % 10 == 3 else x, "depends on the number of rows"),
}


@pytest.mark.parametrize("case", MIXING)
def test_a_layer_that_mixes_the_examples_of_a_batch_is_refused_by_name(case: str, library: Any) -> None:
    library("onnx")
    function, message = MIXING[case]
    net = Network([FullyConnected(3), Activation(function), Softmax(2)], (4,))
    with pytest.raises(UnsupportedError, match=message) as refusal:
        network_model(net)
    assert "layer 1 (Activation)" in str(refusal.value)


@pytest.mark.parametrize("cost", [Quadratic(), CrossEntropy()])
def test_a_cost_of_values_makes_one_output_of_what_it_predicts(
    cost: Cost, library: Any, subject: Any, run_onnx: Run
) -> None:
    library("onnx")
    net = Network([FullyConnected(3, "tanh"), FullyConnected(2, "linear")], (4,), init="n_in", cost=cost)
    x = np.random.default_rng(0).random((5, 4), np.float32)
    variables = net.architecture.variables() | {"input": G.variable("input", x.shape)}
    z = net.forward(variables["input"], variables, {}, "evaluate", {})[0][-1]
    found = run_onnx(network_model(net))({"input": x})
    assert list(found) == ["values"]
    agree(found, {"values": cost.predicted(z)}, {"input": x, **net.parameters}, subject.arithmetic)
    with pytest.raises(ArgumentError, match=r"^classes is \['a', 'b'\]; the cost .* is of values"):
        network_model(net, classes=["a", "b"])


def test_the_file_says_what_it_is(library: Any, tmp_path: Path) -> None:
    onnx = library("onnx")
    net = settled(Network([ConvPool(2, window=3), BatchNorm(), Dropout(0.5), Softmax(3)], (1, 6, 6), 4), 4)
    net.to_onnx(tmp_path / "net.onnx", input_dtype="uint8", scale=SCALE, classes=["a", "b", "c"])
    made = onnx.load(tmp_path / "net.onnx")
    assert (made.producer_name, made.producer_version) == ("isograd", isograd.__version__)
    assert made.ir_version == isograd.onnx.IR_VERSION
    assert [entry.version for entry in made.opset_import] == [isograd.onnx.OPSET]
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*made.graph.input, *made.graph.output)
    }
    assert shapes == {"input": ["batch", 1, 6, 6], "probabilities": ["batch", 3], "class": ["batch"]}
    metadata = {entry.key: entry.value for entry in made.metadata_props}
    assert from_json(metadata.pop("layers")) == net.layers
    assert {
        key: json.loads(value) if key in ("classes", "input_shape") else value
        for key, value in metadata.items()
    } == {
        "isograd": isograd.__version__,
        "dtype": "float32",
        "input_shape": [1, 6, 6],
        "scale": "0.00390625",
        "classes": ["a", "b", "c"],
    }
    found = {array.name: onnx.numpy_helper.to_array(array) for array in made.graph.initializer}
    for path, array in net.checked_arrays().items():
        assert found[path].tobytes() == array.tobytes()


def test_an_argument_that_does_not_fit_leaves_no_file(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library("onnx")
    net, path = Network([Softmax(2)], (3,)), tmp_path / "net.onnx"
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"input_dtype": "int32"}, ArgumentTypeError, "input_dtype is int32"),
        ({"scale": 0}, ArgumentError, "scale is 0"),
        ({"classes": ["a"]}, ArgumentError, "2 different names"),
        ({"classes": ["a", "a"]}, ArgumentError, "2 different names"),
        ({"classes": "ab"}, ArgumentTypeError, "classes is 'ab'"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            export(net, path, **arguments)
    with pytest.raises(FileAccessError, match="can not be written"):
        net.to_onnx(tmp_path / "nowhere" / "net.onnx")
    monkeypatch.setattr(model, "MAX_BYTES", 31)
    with pytest.raises(UnsupportedError, match="the arrays have 32 bytes"):
        net.to_onnx(path)
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UnsupportedError, match=r'pip install "isograd\[onnx\]"'):
        Network([Softmax(2)], (3,)).to_onnx(tmp_path / "net.onnx")
