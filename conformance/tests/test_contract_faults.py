"""Mistakes in core's training, which are on both sides of the other checks, are caught by the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from isograd import plugins, random
from isograd.graph import derived
from isograd.layers import base, dense, initialisers
from isograd.testing import ReferenceBackend
from isograd.training import draws, history, plan, run, step
from isograd_conformance import options
from isograd_conformance.options import Options
from isograd_conformance.subject import Subject

Plant = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Plant] = {}


def fault(plant: Plant) -> Plant:
    FAULTS[plant.__name__.replace("_", " ")] = plant
    return plant


@fault
def l2_without_its_half(patch: pytest.MonkeyPatch) -> None:
    right = step.StepOptions
    patch.setattr(
        plan,
        "StepOptions",
        lambda size, decay, momentum, nesterov: right(size, 2 * decay, momentum, nesterov),
    )


@fault
def l2_of_biases_too(patch: pytest.MonkeyPatch) -> None:
    right = base.ParameterSpec.__init__

    def wrong(self: Any, **fields: Any) -> None:
        right(self, **{**fields, "regularised": True})

    patch.setattr(base.ParameterSpec, "__init__", wrong)


@fault
def the_same_order_every_epoch(patch: pytest.MonkeyPatch) -> None:
    right = draws.epoch_order
    patch.setattr(
        run, "epoch_order", lambda seed, epoch, examples, shuffle: right(seed, 0, examples, shuffle)
    )


@fault
def no_order_at_all(patch: pytest.MonkeyPatch) -> None:
    right = draws.epoch_order
    patch.setattr(
        run, "epoch_order", lambda seed, epoch, examples, shuffle: right(seed, epoch, examples, False)
    )


@fault
def the_same_masks_every_epoch(patch: pytest.MonkeyPatch) -> None:
    right = random.keep_masks
    patch.setattr(random, "keep_masks", lambda *names, epoch, **rest: right(*names, epoch=0, **rest))


@fault
def kept_with_the_probability_of_dropping(patch: pytest.MonkeyPatch) -> None:
    right = random.keep_masks

    def wrong(*names: Any, p_dropout: float, **rest: Any) -> Any:
        return right(*names, p_dropout=1 - p_dropout, **rest)

    patch.setattr(random, "keep_masks", wrong)


@fault
def masks_scaled(patch: pytest.MonkeyPatch) -> None:
    right = derived.dropout
    patch.setattr(dense, "dropout", lambda x, mask, p, *, inverted: right(x, mask, p, inverted=True))


@fault
def a_last_batch_as_heavy_as_a_full_one(patch: pytest.MonkeyPatch) -> None:
    right = step.step_graph

    def wrong(architecture: Any, data: Any, rows: int, given: Any) -> Any:
        return right(
            architecture, data, rows, step.StepOptions(rows, given.decay, given.momentum, given.nesterov)
        )

    patch.setattr(run, "step_graph", wrong)


@fault
def nesterov_as_plain_momentum(patch: pytest.MonkeyPatch) -> None:
    right = step.StepOptions
    patch.setattr(
        plan, "StepOptions", lambda size, decay, momentum, nesterov: right(size, decay, momentum, False)
    )


@fault
def of_equals_the_earlier(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: history.History) -> int | None:
        found = [r.validation_accuracy or 0.0 for r in self.epochs]
        return found.index(max(found)) if found else None

    patch.setattr(history.History, "best_epoch", property(wrong))


@fault
def a_softmax_layer_not_from_zero(patch: pytest.MonkeyPatch) -> None:
    chapter = initialisers.Scheme(initialisers.CHAPTER, initialisers.Normal(), initialisers.CHAPTER)
    patch.setitem(initialisers.SCHEMES, "chapter", chapter)


@pytest.fixture
def contract() -> ModuleType:
    """The suite's tests of the contract, which do not shrink."""
    options.enter(Options(shrink=False))
    try:
        return import_module("isograd_conformance.suite.test_contract")
    finally:
        options.leave()


@pytest.fixture
def subject() -> Iterator[Subject]:
    """The reference backend, registered for as long as a test runs."""
    backend = ReferenceBackend()
    name = plugins.register_backend("reference", backend)
    yield Subject("reference", backend, "cpu")
    plugins.unregister(name)


def judge(contract: ModuleType, subject: Subject) -> None:
    """All tests of the contract that a fault may fail."""
    contract.test_every_step_of_a_run_is_what_the_contract_says_of_the_state_before_it(subject=subject)
    contract.test_every_kind_of_layer_is_trained_as_the_contract_says(subject)
    contract.test_an_epoch_reports_accuracies_and_the_best_of_equals_is_the_later(subject=subject)
    contract.test_initial_weights_are_those_of_the_documented_generator(scheme="chapter", dtype="float32")


def test_the_contract_holds(contract: ModuleType, subject: Subject) -> None:
    judge(contract, subject)


@pytest.mark.parametrize("plant", FAULTS.values(), ids=FAULTS.keys())
def test_a_mistake_in_core_is_caught(
    plant: Plant, contract: ModuleType, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        judge(contract, subject)
