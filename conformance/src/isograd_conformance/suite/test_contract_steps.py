"""Training, step by step, against the words of the contract: formulas that share no code with core.

The values are those of `isograd_conformance.contract`. Core's own graph of a step is used for the tolerance
alone: the rounding bound of a computation of that shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import Dataset, Network
from isograd.training.schedules import CosineDecay, Eta, StepDecay, Triangular
from isograd.training.step import AVERAGE, MASK, VELOCITY, StepOptions, step_function, step_graph
from isograd_conformance.bounds import track
from isograd_conformance.checks import bytes_of, require
from isograd_conformance.contract import draws
from isograd_conformance.contract.steps import COURSES, PEAK, Course, Settings, batch, step
from isograd_conformance.formulas import Watch, hold, images, networks
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.networks import every_kind_of_layer
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


def kinds_of_gradient(subject: Subject) -> list[str]:
    return ["symbolic", "native"] if subject.capabilities.native_gradient else ["symbolic"]


def schedule(given: Settings) -> Eta:
    """The learning rate of these settings, as `SGD` takes it."""
    schedules: dict[str, Eta] = {
        "constant": given.eta,
        "halves": StepDecay(given.eta, 0.5, every=1),
        "triangle": Triangular(given.eta, given.epochs, warm_up=PEAK),
        "cosine": CosineDecay(given.eta, given.epochs),
    }
    return schedules[given.course]


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


@pytest.mark.parametrize("course", ["halves", "triangle", "cosine"])
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
    # Two whole steps, which a run may take in one chunk; then the last of seven examples is a mini-batch by
    # itself, whose features have no unbiased variance.
    hold_run(subject, net, images(net, 7), given_settings, "symbolic")


def hold_run(subject: Subject, net: Network, data: Dataset, given_settings: Settings, gradient: str) -> None:
    """Hold two epochs to the contract step by step, and to the bits of the same run without stops."""
    arguments: dict[str, Any] = {**asdict(given_settings), "eta": schedule(given_settings)}
    arguments |= {"gradient": gradient, "backend": subject.specification}
    del arguments["course"], arguments["epochs"]
    steps, state = given_settings.steps(len(data)), net.checked_arrays()
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
            assert bytes_of(net.checked_arrays()) == bytes_of(averages)
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
        assert bytes_of(again.checked_arrays()) == bytes_of(averages), (
            "a run in one go gives other bits than one of single steps"
        )


def _named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + path: array for path, array in arrays.items()}
