"""Early stopping by any quantity that is measured."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Literal

import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.training.callbacks import Callback, Progress
from isograd.training.checks import number, whole
from isograd.training.history import MEASURED, EpochRecord

Mode = Literal["max", "min"]

_FIELDS = tuple(field.name for field in fields(EpochRecord) if field.name not in ("epoch", MEASURED))


class EarlyStopping(Callback):
    """Ends the run when a quantity has not become better for some epochs.

    The first value is the best so far, and so is each that exceeds the best by more than `min_delta`, or in
    mode "min" is below it by more. A NaN is never better. An epoch without a value counts as any that is no
    better; but if no epoch has had one, that is an error. Epochs that a resumed run had before count too.

    By `SGD(early_stopping=...)` the network has the best epoch's parameters after training. With this one it
    has the last ones, and ``network.adopt(stopping.best_arrays)`` gives it the best.

    Parameters
    ----------
    monitor : str
        A field of `EpochRecord` such as "validation_cost", else a name in `EpochRecord.measured`.
    patience : int
        Stop after so many epochs in a row that are no better; at least 1.
    min_delta : float
        At least 0.
    mode : "max" or "min", optional
        Which values are the better ones; None: "max" for what ends in "accuracy", "min" in "cost".

    Attributes
    ----------
    best, best_epoch : float, int or None
        The best value, and its epoch; None before there is one.
    best_arrays : dict of path to ndarray, or None
        The parameters and the layers' state after that epoch, with averaging their averages; None where it
        was in an earlier call of `SGD`.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is not as described; after the first epoch, if nothing measures the quantity.
    """

    def __init__(
        self,
        monitor: str = "validation_accuracy",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: Mode | None = None,
    ) -> None:
        if not isinstance(monitor, str):
            raise ArgumentTypeError(f"monitor is {monitor!r}; expected the name of a quantity")
        self.monitor = monitor
        self.patience = whole("patience", patience, 1)
        self.min_delta = number("min_delta", min_delta, least=0)
        self.mode = _checked_mode(monitor, mode)
        self._begin()

    def _begin(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_arrays: dict[str, npt.NDArray[Any]] | None = None
        self._arrays: dict[str, npt.NDArray[Any]] | None = None
        self._waited = 0
        self._measured = False

    def on_start(self, progress: Progress) -> None:
        # A callback may serve several runs, one after the other.
        self._begin()
        for record in progress.records:
            self._take(record)

    def measure(self, progress: Progress) -> None:
        network = progress.network
        self._arrays = {path: array.copy() for path, array in (network.parameters | network.state).items()}

    def on_epoch(self, record: EpochRecord) -> object:
        self._take(record)
        if not self._measured:
            there = [name for name in _FIELDS if _value(record, name) is not None]
            raise ArgumentError(
                f"monitor is {self.monitor!r}, which epoch {record.epoch} does not have; expected one of "
                f"{', '.join([*there, *record.measured])}"
            )
        return "stop" if self._waited >= self.patience else None

    def _take(self, record: EpochRecord) -> None:
        value = _value(record, self.monitor)
        self._measured = self._measured or value is not None
        if value is None or math.isnan(value) or not self._is_better(value):
            self._waited += 1
            return
        self.best, self.best_epoch, self.best_arrays = value, record.epoch, self._arrays
        self._waited = 0

    def _is_better(self, value: float) -> bool:
        if self.best is None:
            return True
        if self.mode == "max":
            return value > self.best + self.min_delta
        return value < self.best - self.min_delta


def _value(record: EpochRecord, name: str) -> float | None:
    value: float | None = getattr(record, name) if name in _FIELDS else record.measured.get(name)
    return value


def _checked_mode(monitor: str, mode: object) -> Mode:
    if mode is None:
        if monitor.endswith("accuracy"):
            return "max"
        if monitor.endswith("cost"):
            return "min"
        raise ArgumentError(f"mode is None, and monitor is {monitor!r}; expected mode 'max' or 'min'")
    if mode not in ("max", "min"):
        raise ArgumentError(f"mode is {mode!r}; expected 'max' or 'min'")
    return "max" if mode == "max" else "min"
