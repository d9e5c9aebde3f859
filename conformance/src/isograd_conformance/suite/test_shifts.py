"""Predictions averaged over shifts of the images, held to the words of the contract."""

from __future__ import annotations

import numpy as np
import pytest

from isograd import ConvPool, Dataset, Network, Softmax
from isograd_conformance.checks import require
from isograd_conformance.contract.steps import evaluate, shifted
from isograd_conformance.formulas import evaluation_errors, hold, images
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("contract")


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_a_prediction_over_shifts_is_the_mean_over_all_of_them(pixels: str, subject: Subject) -> None:
    require(subject, "int32", "uint8", "float32", "bool")
    layers = [ConvPool(2, window=2, activation="softplus"), Softmax(3, weight_init="n_in")]
    net = Network(layers, (2, 5, 7), seed=2, dtype=subject.floating[-1])
    digits = images(net, 6)
    digits = Dataset(digits.inputs.astype(pixels), digits.labels, scale=digits.scale)
    ways = range(-1, 2)
    moved = [shifted(digits, down, right) for down in ways for right in ways]
    wanted = np.mean([evaluate(net, each, net.checked_arrays()).probabilities for each in moved], axis=0)
    errors = np.mean([evaluation_errors(subject, net, each)["predicted"] for each in moved], axis=0)
    # Sums of nine numbers of at most 1 in double precision, their quotient, and its rounding to the dtype.
    errors += 10 * 2.0**-53 + (2.0**-24 if net.dtype == "float32" else 0)
    found = net.predict_proba(digits, backend=subject.specification, shifts=1)
    hold({"predicted": found}, {"predicted": wanted}, {"predicted": errors})
    classes = net.predict(digits, backend=subject.specification, shifts=1)
    assert classes.tolist() == found.argmax(axis=1).tolist()
    right = int(np.count_nonzero(classes == digits.labels))
    assert net.accuracy(digits, backend=subject.specification, shifts=1) == right / len(digits)
