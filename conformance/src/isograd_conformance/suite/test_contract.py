"""Training and evaluation against the words of the contract: formulas that share no code with core.

The values are those of `isograd_conformance.contract`. Core's own graph of a step, or of an evaluation, is
used for the tolerance alone: the rounding bound of a computation of that shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import (
    BatchNorm,
    Callback,
    ConvPool,
    Dataset,
    Dropout,
    FullyConnected,
    History,
    Layer,
    Network,
    Softmax,
)
from isograd import graph as G
from isograd.architecture import Architecture
from isograd.evaluation import CHUNK_ROWS, evaluation_function
from isograd.training import Progress
from isograd.training.draws import Chunk, draw, epoch_order
from isograd.training.schedules import CosineDecay, Eta, StepDecay, Triangular
from isograd.training.step import AVERAGE, MASK, VELOCITY, StepOptions, step_function, step_graph
from isograd_conformance.bounds import Tracked, disagreement, track
from isograd_conformance.checks import require
from isograd_conformance.contract import draws
from isograd_conformance.contract.steps import (
    COURSES,
    PEAK,
    Course,
    Evaluated,
    Settings,
    batch,
    evaluate,
    regularised,
    step,
)
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.networks import every_kind_of_layer, layer_lists
from isograd_conformance.subject import HostArray, Subject

pytestmark = pytest.mark.judges("contract")

EPOCHS = 2


@st.composite
def settings(draw: st.DrawFn, most: int) -> Settings:
    """Arguments of `SGD` for at most so many examples; a smaller last batch as often as not."""
    momentum = draw(st.sampled_from([0.0, 0.5, 0.875]))
    return Settings(
        draw(st.integers(1, most)),
        eta=draw(st.sampled_from([0.125, 0.1])),
        lmbda=draw(st.sampled_from([0.0, 0.5, 3.0])),
        momentum=momentum,
        nesterov=draw(st.booleans()) if momentum else False,
        shuffle=draw(st.booleans()),
        drop_last=draw(st.booleans()),
        weight_decay=draw(st.sampled_from([0.0, 0.05])),
        label_smoothing=draw(st.sampled_from([0.0, 0.1])),
        averaging=draw(st.sampled_from([0.0, 0.9])),
        course=draw(st.sampled_from(COURSES)),
        epochs=EPOCHS,
    )


def networks(subject: Subject) -> st.SearchStrategy[Network]:
    """Networks of the widest floating-point type that is declared, where bounds are narrowest."""
    return st.builds(
        lambda drawn, seed: Network(drawn[0], drawn[1], seed, init="n_in", dtype=subject.floating[-1]),
        layer_lists(),
        st.integers(0, 2**64 - 1),
    )


def images(net: Network, number: int, salt: int = 0) -> Dataset:
    """Random images of bytes that fit the network, with labels."""
    rng = np.random.default_rng([net.seed, salt])
    pixels = rng.integers(0, 256, (number, *net.input_shape)).astype(np.uint8)
    return Dataset(pixels, rng.integers(0, net.output_shape[0], number), scale=1 / 256)


def kinds_of_gradient(subject: Subject) -> list[str]:
    return ["symbolic", "native"] if subject.capabilities.native_gradient else ["symbolic"]


class Watch(Callback):
    """Keeps the cost of every chunk, and the network's arrays after it with the number of its last step."""

    def __init__(self, every: int | None = None) -> None:
        self.every = every
        self.costs: list[float] = []
        self.arrays: list[tuple[int, dict[str, HostArray]]] = []

    def on_chunk(self, progress: Progress) -> None:
        self.costs.append(progress.cost)
        self.arrays.append((progress.step, arrays_of(progress.network)))


def arrays_of(net: Network) -> dict[str, HostArray]:
    """Parameters and layer state."""
    return {**net.parameters, **net.state}


def schedule(given: Settings) -> Eta:
    """The learning rate of these settings, as `SGD` takes it."""
    schedules: dict[str, Eta] = {
        "constant": given.eta,
        "halves": StepDecay(given.eta, 0.5, every=1),
        "triangle": Triangular(given.eta, given.epochs, warm_up=PEAK),
        "cosine": CosineDecay(given.eta, given.epochs),
    }
    return schedules[given.course]


def hold(found: Mapping[str, Any], wanted: Mapping[str, Any], errors: Mapping[str, HostArray]) -> None:
    """Fail where something is farther from the formula than twice its bound."""
    for name, value in wanted.items():
        array = np.asarray(found[name], np.float64)
        tracked = Tracked(np.asarray(value, np.float64), np.asarray(errors[name]))
        assert array.shape == tracked.value.shape, name
        problem = disagreement(array, tracked)
        assert problem is None, f"{name} is not what the contract says: {problem}"


def step_errors(
    subject: Subject,
    net: Network,
    data: Dataset,
    given: Settings,
    state: Mapping[str, Any],
    at: tuple[int, int],
) -> dict[str, HostArray]:
    """The rounding bound of one step's cost and updates, on the rows and masks that the contract draws."""
    rows = batch(given, net.seed, len(data), *at)
    steps = given.steps(len(data))
    options = StepOptions(
        given.mini_batch_size,
        given.lmbda / steps,
        given.momentum,
        given.nesterov,
        given.weight_decay,
        given.label_smoothing,
        given.averaging,
    )
    function = step_function(step_graph(net.architecture, data, len(rows), options))
    values = {"inputs": data.inputs, "labels": data.labels, "rows": np.asarray(rows, np.int32), **state}
    eta = given.eta_in(*at, steps)
    values["eta"] = np.asarray(eta, net.dtype)
    for name, variable in function.inputs.items():
        if name.startswith(MASK):
            path = name.removeprefix(MASK)
            p_dropout = net.architecture.masks[path].p_dropout
            values[name] = draws.mask(net.seed, path, variable.shape, p_dropout, *at)
    wanted = {"cost": function.outputs["cost"], **function.updates}
    of_eta = {"eta": np.asarray(given.eta_error(eta, net.dtype), np.float64)}
    tracked = track(list(wanted.values()), values, subject.arithmetic, of_eta)
    return {name: each.error for name, each in zip(wanted, tracked, strict=True)}


@given(data=st.data(), given_settings=settings(6))
@examples(5)
def test_every_step_of_a_run_is_what_the_contract_says_of_the_state_before_it(
    subject: Subject, data: st.DataObject, given_settings: Settings
) -> None:
    """Order, masks, cost, gradient, decay, momentum, rate, state, smaller last batches and how many."""
    require(subject, "int32", "uint8", "bool")
    net = data.draw(networks(subject))
    digits = images(net, data.draw(st.integers(given_settings.mini_batch_size, 7)))
    hold_run(subject, net, digits, given_settings, data.draw(st.sampled_from(kinds_of_gradient(subject))))


@pytest.mark.parametrize("course", ["halves", "triangle"])
def test_every_kind_of_layer_is_trained_as_the_contract_says(course: Course, subject: Subject) -> None:
    require(subject, "int32", "uint8", "bool")
    net = Network(every_kind_of_layer(), (1, 12, 12), seed=4, dtype=subject.floating[-1])
    given_settings = Settings(
        3,
        0.125,
        0.5,
        0.5,
        nesterov=True,
        weight_decay=0.05,
        label_smoothing=0.1,
        averaging=0.9,
        course=course,
    )
    # Of four examples the last is a mini-batch by itself, whose features have no unbiased variance.
    hold_run(subject, net, images(net, 4), given_settings, "symbolic")


def hold_run(subject: Subject, net: Network, data: Dataset, given_settings: Settings, gradient: str) -> None:
    """Hold two epochs to the contract step by step, and to the bits of the same run without stops."""
    arguments: dict[str, Any] = {**asdict(given_settings), "eta": schedule(given_settings)}
    arguments |= {"gradient": gradient, "backend": subject.specification}
    del arguments["course"], arguments["epochs"]
    steps, state = given_settings.steps(len(data)), arrays_of(net)
    velocities = {path: np.zeros_like(w) for path, w in net.parameters.items()}
    averages = dict(state)
    for epoch in range(EPOCHS):
        costs, errors = [], []
        for number in range(steps):
            watch, at = Watch(), (epoch, number)
            before = {**state, **_named(VELOCITY, velocities), **_named(AVERAGE, averages)}
            bounds = step_errors(subject, net, data, given_settings, before, at)
            history = net.SGD(data, EPOCHS, **arguments, callbacks=[watch], max_steps=1, resume=at != (0, 0))
            wanted = step(net, data, given_settings, state, velocities, averages, *at)
            assert net.training is not None
            after = net.training.arrays
            changed = {**wanted.parameters, **wanted.state}
            hold({"cost": watch.costs[0], **after}, {"cost": wanted.cost, **changed}, bounds)
            for path in state.keys() - changed:
                assert after[path].tobytes() == state[path].tobytes(), f"{path} has changed"
            state = {path: after[path] for path in state}
            if given_settings.momentum:
                hold(after, _named(VELOCITY, wanted.velocities), bounds)
                velocities = {path: after[VELOCITY + path] for path in velocities}
            averages = state
            if given_settings.averaging:
                hold(after, _named(AVERAGE, wanted.averages), bounds)
                averages = {path: after[AVERAGE + path] for path in averages}
            assert _bits(arrays_of(net)) == _bits(averages)
            costs.append(wanted.cost)
            errors.append(bounds["cost"])
            last = number + 1 == steps
            assert (net.training.epoch, net.training.step) == (epoch + last, 0 if last else number + 1)
        mean = {"cost of the epoch": np.mean(costs)}
        # A mean of costs within their bounds; each is added in double precision, with one rounding more.
        rounding = steps * 2.0**-53 * float(np.sum(np.abs(costs)))
        bound = {"cost of the epoch": (np.sum(errors) + rounding) / steps}
        hold({"cost of the epoch": history.epochs[-1].cost}, mean, bound)
    assert history.stopped == "completed"
    if subject.capabilities.deterministic:
        again = Network(net.layers, net.input_shape, net.seed, init=net.init, dtype=net.dtype)
        again.SGD(data, EPOCHS, **arguments)
        assert _bits(arrays_of(again)) == _bits(averages), (
            "a run in one go gives other bits than one of single steps"
        )


def _named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + path: array for path, array in arrays.items()}


def _bits(arrays: Mapping[str, HostArray]) -> dict[str, bytes]:
    return {path: array.tobytes() for path, array in arrays.items()}


def evaluation_errors(subject: Subject, net: Network, data: Dataset) -> dict[str, HostArray]:
    """The rounding bounds of the costs, probabilities and classes of a data set."""
    found: dict[str, list[HostArray]] = {"cost": [], "probabilities": [], "class": []}
    for first in range(0, len(data), CHUNK_ROWS):
        rows = np.arange(first, min(first + CHUNK_ROWS, len(data)), dtype=np.int32)
        part = Dataset(data.inputs[rows], data.labels[rows], scale=data.scale)
        function = evaluation_function(net.architecture, part, len(rows), list(found))
        values = {**arrays_of(net), "inputs": part.inputs, "labels": part.labels, "rows": rows - first}
        tracked = track(list(function.outputs.values()), values, subject.arithmetic)
        for name, each in zip(function.outputs, tracked, strict=True):
            found[name].append(each.error)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def hold_accuracy(found: float | None, wanted: Evaluated, data: Dataset, in_doubt: HostArray) -> None:
    """Fail unless an accuracy is the share of right classes; those in doubt may be right or wrong."""
    right = (wanted.classes == data.labels) & (in_doubt == 0)
    least = int(np.count_nonzero(right))
    possible = [(least + further) / len(data) for further in range(int(np.count_nonzero(in_doubt)) + 1)]
    assert found in possible


@pytest.mark.parametrize(("number", "inverted"), [(7, True), (CHUNK_ROWS, False), (CHUNK_ROWS + 3, False)])
def test_an_evaluation_scales_instead_of_dropping_and_counts_every_example_once(
    number: int, inverted: bool, subject: Subject
) -> None:
    """Of any number of examples, whatever the size of the pieces in which they are evaluated."""
    require(subject, "int32", "uint8", "bool")
    layers: list[Layer] = [
        ConvPool(2, window=2, activation="softplus"),
        BatchNorm(epsilon=0.25),
        Dropout(0.25, inverted=inverted),
        FullyConnected(3, "tanh", 0.25, inverted=inverted),
        Softmax(3, 0.5, inverted=inverted, weight_init="n_in", bias_init="chapter"),
    ]
    net = Network(layers, (1, 5, 5), seed=number, dtype=subject.floating[-1])
    for path, array in net.state.items():  # no mean is 0, and no variance 1, as they begin
        net.state[path] = array + np.arange(1, array.size + 1, dtype=net.dtype) / 8
    digits, where = images(net, number), subject.specification
    wanted, errors = evaluate(net, digits, arrays_of(net)), evaluation_errors(subject, net, digits)
    found = {"probabilities": net.predict_proba(digits, backend=where)}
    hold(found, {"probabilities": wanted.probabilities}, errors)
    decided = errors["class"] == 0
    classes = net.predict(digits, backend=where)
    assert classes.shape == (number,)
    assert (classes[decided] == wanted.classes[decided]).all()
    hold_accuracy(net.accuracy(digits, backend=where), wanted, digits, errors["class"])
    # The mean of costs that are each within their bound is within the mean of these; it is rounded besides,
    # in double precision, by at most as much as a sum of so many terms.
    summed = number * 2.0**-53 * float(abs(wanted.costs).mean())
    squares = (net.parameters[path].astype(float) ** 2 for path in regularised(net))
    weights = sum(float(square.sum()) for square in squares)
    for lmbda, size in ((0.0, 1), (0.5, 3)):
        decay = 0.5 * lmbda * weights / math.ceil(number / size)
        bound = errors["cost"].mean() + summed + 4 * 2.0**-53 * (decay + abs(wanted.costs).mean())
        bound += sum(w.size for w in net.parameters.values()) * 2.0**-53 * decay
        cost = net.cost(digits, lmbda, size, backend=where)
        hold({"cost": cost}, {"cost": wanted.costs.mean() + decay}, {"cost": np.asarray(bound)})


@given(data=st.data(), patience=st.sampled_from([None, 1, 2]), averaging=st.sampled_from([0.0, 0.75]))
@examples(3)
def test_an_epoch_reports_accuracies_and_the_best_of_equals_is_the_later(
    subject: Subject, data: st.DataObject, patience: int | None, averaging: float
) -> None:
    """On so few examples that equal accuracies are the rule."""
    require(subject, "int32", "uint8", "bool")
    net = data.draw(networks(subject))
    digits, validation, test = images(net, 5), images(net, 3, salt=1), images(net, 4, salt=2)
    watch = Watch()
    history = net.SGD(
        digits, 4, 2, 0.25, validation, test,
        averaging=averaging, early_stopping=patience, callbacks=[watch], backend=subject.specification,
    )  # fmt: skip
    ends = [arrays for number, arrays in watch.arrays if number == 3]
    assert len(ends) == len(history.epochs)
    best, best_epoch, since = -1.0, 0, 0
    for record, arrays in zip(history.epochs, ends, strict=True):
        other = Network(net.layers, net.input_shape, net.seed, dtype=net.dtype)
        other.adopt(arrays)
        accuracy = record.validation_accuracy
        assert accuracy is not None
        errors = evaluation_errors(subject, other, validation)
        wanted = evaluate(other, validation, arrays)
        hold_accuracy(accuracy, wanted, validation, errors["class"])
        cost = {"validation cost": np.asarray(wanted.costs).mean()}
        rounding = len(validation) * 2.0**-53 * float(cost["validation cost"])
        bound = {"validation cost": errors["cost"].mean() + rounding}
        hold({"validation cost": record.validation_cost}, cost, bound)
        since = 0 if accuracy > best else since + 1
        if accuracy >= best:
            best, best_epoch = accuracy, record.epoch
            in_doubt = evaluation_errors(subject, other, test)["class"]
            hold_accuracy(record.test_accuracy, evaluate(other, test, arrays), test, in_doubt)
        else:
            assert record.test_accuracy is None
    _hold_end(history, net, ends, best_epoch, since, patience)


def _hold_end(
    history: History,
    net: Network,
    ends: list[dict[str, HostArray]],
    best_epoch: int,
    since: int,
    patience: int | None,
) -> None:
    """Early stopping comes after just so many epochs, and hands back the best epoch's parameters.

    A run has these whether it stops early or not.
    """
    assert history.best_epoch == best_epoch
    assert history.test_accuracy == history.epochs[best_epoch].test_accuracy
    stopped = patience is not None and since >= patience and len(ends) < 4
    assert (history.stopped == "early stopping") == stopped
    assert stopped or len(ends) == 4
    assert patience is None or since <= patience
    assert _bits(arrays_of(net)) == _bits(ends[best_epoch if stopped else -1])
    assert net.training is not None
    assert _bits(net.training.best or {}) == _bits(ends[best_epoch])


@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 1000), first=st.integers(0, 1000))
@examples(10)
def test_rows_and_masks_are_those_of_the_documented_generator(seed: int, epoch: int, first: int) -> None:
    layers: list[Layer] = [FullyConnected(3, p_dropout=0.25), Softmax(2, 0.5, name="out")]
    architecture = Architecture(layers, (4,), "float32")
    examples_, rows, steps = 3 * (first + 2), 3, 2
    shuffled = epoch_order(seed, epoch, examples_, True)
    assert shuffled.tolist() == draws.order(seed, epoch, examples_)
    assert epoch_order(seed, epoch, examples_, False).tolist() == list(range(examples_))
    drawn = draw(architecture, seed, Chunk(epoch, first, steps, rows), shuffled, rows, 0.1)
    for i in range(steps):
        place = (first + i) * rows
        assert drawn["rows"][i].tolist() == shuffled[place : place + rows].tolist()
        for path, width, p_dropout in (("0.dropout", 4, 0.25), ("out.dropout", 3, 0.5)):
            expected = draws.mask(seed, path, (rows, width), p_dropout, epoch, first + i)
            assert drawn[MASK + path][i].tobytes() == expected.tobytes()


# By scheme: the gain and n of a weight's deviation sqrt(gain / n), and whether biases are drawn.
SCHEMES: dict[str, tuple[int, Callable[[int, int], int], bool]] = {
    "chapter": (1, lambda n_in, n_out: n_out, True),
    "n_in": (1, lambda n_in, n_out: n_in, False),
    "glorot": (2, lambda n_in, n_out: n_in + n_out, False),
    "he": (2, lambda n_in, n_out: n_in, False),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
@given(seed=st.integers(0, 2**64 - 1))
@examples(3)
def test_initial_weights_are_those_of_the_documented_generator(scheme: str, dtype: str, seed: int) -> None:
    layers: list[Layer] = [ConvPool(4, window=(3, 2), name="filters"), FullyConnected(30), Softmax(10)]
    net = Network(layers, (2, 8, 7), seed, init=scheme, dtype=dtype)
    gain, size, biases = SCHEMES[scheme]
    # Of a convolution with pooling n_out is, as in the listing, maps * height * width by the pooling window.
    expected = {}
    for name, shape, n_in, n_out in (
        ("filters", (4, 2, 3, 2), 12, 4 * 6 // 4),
        ("1", (4 * 3 * 3, 30), 36, 30),
    ):
        weight, bias = f"{name}.weight", f"{name}.bias"
        width = shape[0] if name == "filters" else shape[1]
        expected[weight] = draws.normal(seed, weight, shape) * math.sqrt(gain / size(n_in, n_out))
        expected[bias] = draws.normal(seed, bias, (width,)) if biases else np.zeros(width)
    expected |= {"2.weight": np.zeros((30, 10)), "2.bias": np.zeros(10)}
    assert net.parameters.keys() == expected.keys()
    for path, values in expected.items():
        assert net.parameters[path].tobytes() == values.astype(dtype).tobytes(), path
