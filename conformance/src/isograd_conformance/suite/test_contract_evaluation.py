"""Evaluation, and what epochs report, against the words of the contract.

The values are those of `isograd_conformance.contract`. Core's own graph of an evaluation is used for the
tolerance alone: the rounding bound of a computation of that shape.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import BatchNorm, ConvPool, Dropout, FullyConnected, History, Layer, Network, Softmax
from isograd.evaluation import CHUNK_ROWS
from isograd_conformance.checks import bytes_of, require
from isograd_conformance.contract.steps import evaluate, regularised
from isograd_conformance.formulas import (
    Watch,
    evaluation_errors,
    hold,
    hold_accuracy,
    images,
    networks,
)
from isograd_conformance.profiles import examples
from isograd_conformance.subject import HostArray, Subject

pytestmark = pytest.mark.judges("contract")


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
    wanted, errors = evaluate(net, digits, net.checked_arrays()), evaluation_errors(subject, net, digits)
    found = {"predicted": net.predict_proba(digits, backend=where)}
    hold(found, {"predicted": wanted.probabilities}, errors)
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
    assert bytes_of(net.checked_arrays()) == bytes_of(ends[best_epoch if stopped else -1])
    assert net.training is not None
    assert bytes_of(net.training.best or {}) == bytes_of(ends[best_epoch])
