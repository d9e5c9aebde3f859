"""Where a run began to overfit: training against validation, epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.training.history import EpochRecord, History

TRAINING_ACCURACY, TRAINING_COST = "training_accuracy", "training_cost"


@dataclass(frozen=True)
class Overfitting:
    """What `overfitting` finds in a history. An epoch that lacks one of two numbers is left out.

    Attributes
    ----------
    accuracy_gap : dict of int to float
        By epoch: the training accuracy less the validation accuracy.
    cost_gap : dict of int to float
        By epoch: the validation cost less the training cost. Both gaps grow when a network overfits.
    lowest : int, optional
        The epoch of the lowest validation cost among those with both costs, of equals the earlier; None where
        none is finite.
    opened : int, optional
        When the gap opened: the first epoch after `lowest` from which on every epoch to the last has a higher
        validation cost and a lower training cost than `lowest`. None where the last epoch has not, that is
        where the validation cost has not risen while the training cost fell.
    diverging : tuple of int
        Every epoch in which the validation cost rose while the training cost fell, both as against the
        epoch just before. Single ones are noise; many in a row are not.
    """

    accuracy_gap: dict[int, float]
    cost_gap: dict[int, float]
    lowest: int | None
    opened: int | None
    diverging: tuple[int, ...]


def overfitting(history: History) -> Overfitting:
    """Compare training with validation, from a run with `Diagnostics` and validation data.

    The training accuracy and cost are those of `EpochRecord.measured`, in mode "evaluate" and without
    regularisation, as the validation's are. (`EpochRecord.cost` is of parameters that change, with dropout
    and regularisation.)

    Raises
    ------
    ArgumentTypeError
        If `history` is no `History`.
    ArgumentError
        If no epoch has both costs.
    """
    if not isinstance(history, History):
        raise ArgumentTypeError(f"history is a {type(history).__name__}; expected a History")
    records = {record.epoch: record for record in history.epochs}
    accuracy_gap = {
        epoch: record.measured[TRAINING_ACCURACY] - record.validation_accuracy
        for epoch, record in records.items()
        if record.validation_accuracy is not None and TRAINING_ACCURACY in record.measured
    }
    training, validation = _costs(records)
    if not training:
        raise ArgumentError(
            f"history has no epoch with both {TRAINING_COST} and validation_cost; they need the callback "
            "Diagnostics and validation data"
        )
    cost_gap = {epoch: validation[epoch] - cost for epoch, cost in training.items()}
    # NaN is lowest to `min` where it comes first.
    finite = [epoch for epoch, cost in validation.items() if math.isfinite(cost)]
    lowest = min(finite, key=lambda epoch: validation[epoch], default=None)
    opened = None
    for epoch in reversed(training):
        if lowest is None or not (
            epoch > lowest and validation[epoch] > validation[lowest] and training[epoch] < training[lowest]
        ):
            break
        opened = epoch
    diverging = tuple(
        epoch
        for epoch in training
        if epoch - 1 in training
        and validation[epoch] > validation[epoch - 1]
        and training[epoch] < training[epoch - 1]
    )
    return Overfitting(accuracy_gap, cost_gap, lowest, opened, diverging)


def _costs(records: dict[int, EpochRecord]) -> tuple[dict[int, float], dict[int, float]]:
    """Training and validation cost of the epochs that have both, in order."""
    training: dict[int, float] = {}
    validation: dict[int, float] = {}
    for epoch, record in records.items():
        if record.validation_cost is not None and TRAINING_COST in record.measured:
            training[epoch] = record.measured[TRAINING_COST]
            validation[epoch] = record.validation_cost
    return training, validation
