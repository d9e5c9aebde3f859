"""The arguments of `SGD`, checked all together before anything changes."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isograd import evaluation
from isograd.architecture import Architecture
from isograd.costs import LogLikelihood
from isograd.data import Dataset, as_dataset
from isograd.data.expanded import Expanded, held
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.layers import functions
from isograd.training import augmentation as augmentations
from isograd.training import schedules
from isograd.training.callbacks import Callback, checked_callbacks
from isograd.training.checks import checked_path, flag, number, optional_whole, whole
from isograd.training.images import Images
from isograd.training.step import StepOptions

DATA_ARGUMENTS = ("training_data", "validation_data", "test_data")
# What a run that continues another must have in common with it; of data, the fingerprints.
AGREEMENT = (
    *DATA_ARGUMENTS,
    "mini_batch_size",
    "eta",
    "lmbda",
    "momentum",
    "nesterov",
    "weight_decay",
    "label_smoothing",
    "averaging",
    "shuffle",
    "drop_last",
    "early_stopping",
    "tested",
    "gradient",
    "augmentation",
)
# Those that came later than the file format, with what every run did before.
ADDED: dict[str, Any] = {
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "averaging": 0.0,
    "augmentation": [],
    "tested": "best",
}


@dataclass(frozen=True)
class Plan:
    """What a run is to do; the attributes are the arguments of `Network.SGD`, where they are explained.

    Attributes
    ----------
    data : dict of str to Dataset, Expanded or None
        By the name of the argument.
    training : Dataset or Expanded
    images : Images, optional
        Makes the images of each step on the host; None where the step gathers them from the data.
    """

    data: dict[str, Dataset | Expanded | None]
    training: Dataset | Expanded
    dtype: str
    epochs: int
    mini_batch_size: int
    eta: schedules.Eta
    lmbda: float
    momentum: float
    nesterov: bool
    weight_decay: float
    label_smoothing: float
    averaging: float
    shuffle: bool
    drop_last: bool
    early_stopping: int | None
    tested: Literal["best", "last"]
    gradient: Literal["symbolic", "native"]
    callbacks: tuple[Callback, ...]
    checkpoint: Path | None
    checkpoint_every: int | None
    max_steps: int | None
    augmentation: tuple[augmentations.Augmentation, ...]

    @property
    def base(self) -> Dataset:
        """The training data as they are held."""
        return held(self.training)

    @cached_property
    def images(self) -> Images | None:
        made = self.augmentation or isinstance(self.training, Expanded)
        return Images(self.training, self.augmentation) if made else None

    @property
    def full_steps(self) -> int:
        """How many steps of an epoch have mini_batch_size rows."""
        return len(self.training) // self.mini_batch_size

    @property
    def last_rows(self) -> int:
        """How many rows the partial last step has; 0 where there is none."""
        return 0 if self.drop_last else len(self.training) % self.mini_batch_size

    @property
    def steps(self) -> int:
        """m: how many steps an epoch has."""
        return self.full_steps + bool(self.last_rows)

    @property
    def examples(self) -> int:
        """How many examples an epoch uses."""
        return self.full_steps * self.mini_batch_size + self.last_rows

    @property
    def options(self) -> StepOptions:
        return StepOptions(
            self.mini_batch_size,
            self.lmbda / self.steps,
            self.momentum,
            self.nesterov,
            self.weight_decay,
            self.label_smoothing,
            self.averaging,
        )

    def etas_in(self, epoch: int) -> npt.NDArray[np.float64]:
        """The learning rate of each step of an epoch: float64, (steps,).

        Each is checked to be a finite number above 0 in the network's dtype.
        """
        eta, name = self.eta, f"eta in epoch {epoch}"
        if isinstance(eta, schedules.StepSchedule):
            each = [number(name, eta(epoch, step, self.steps), above=0) for step in range(self.steps)]
            _fits(name, min(each), self.dtype)
            _fits(name, max(each), self.dtype)
            return np.array(each)
        result = number(name, eta(epoch), above=0) if callable(eta) else number("eta", eta, above=0)
        _fits(name if callable(eta) else "eta", result, self.dtype)
        return np.full(self.steps, result)

    @cached_property
    def agreement(self) -> dict[str, Any]:
        """The values of the arguments `AGREEMENT`, in the form in which a file holds them."""
        values: dict[str, Any] = {name: getattr(self, name) for name in AGREEMENT if name not in self.data}
        values["augmentation"] = augmentations.to_data(self.augmentation)
        # A function without a registered name agrees with itself, as long as the run stays in memory.
        with suppress(ArgumentError):
            values["eta"] = schedules.to_data(self.eta)
        fingerprints = {name: data and data.fingerprint() for name, data in self.data.items()}
        return fingerprints | values

    def check_agreement(self, before: dict[str, Any]) -> None:
        """Refuse to continue a run with other arguments or data than it began with."""
        for name, value in self.agreement.items():
            if before[name] != value:
                raise ArgumentError(
                    f"{name} is {_shown(name, value)}; the run to resume has {_shown(name, before[name])}"
                )


def make_plan(
    architecture: Architecture,
    training_data: Any,
    epochs: int,
    mini_batch_size: int,
    eta: schedules.Eta | str,
    validation_data: Any,
    test_data: Any,
    lmbda: float,
    *,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    label_smoothing: float,
    averaging: float,
    shuffle: bool,
    drop_last: bool,
    early_stopping: int | None,
    tested: str,
    gradient: str,
    callbacks: Any,
    checkpoint: str | os.PathLike[str] | None,
    checkpoint_every: int | None,
    max_steps: int | None,
    augmentation: object,
) -> Plan:
    """The arguments of `Network.SGD` as a plan; raises as it documents."""
    training = _checked_training(architecture, training_data)
    data: dict[str, Dataset | Expanded | None] = {"training_data": training}
    for name, value in zip(DATA_ARGUMENTS[1:], (validation_data, test_data), strict=True):
        data[name] = None if value is None else checked_data(architecture, value, name)
    for name, value, known in (
        ("gradient", gradient, ("symbolic", "native")),
        ("tested", tested, ("best", "last")),
    ):
        if value not in known:
            raise ArgumentError(f"{name} is {value!r}; expected {known[0]!r} or {known[1]!r}")
    plan = Plan(
        data=data,
        training=training,
        dtype=architecture.dtype,
        epochs=whole("epochs", epochs, 1),
        mini_batch_size=whole("mini_batch_size", mini_batch_size, 1),
        eta=_checked_eta(eta),
        lmbda=number("lmbda", lmbda, least=0),
        momentum=number("momentum", momentum, least=0, below=1),
        nesterov=flag("nesterov", nesterov),
        weight_decay=number("weight_decay", weight_decay, least=0),
        label_smoothing=number("label_smoothing", label_smoothing, least=0, below=1),
        averaging=number("averaging", averaging, least=0, below=1),
        shuffle=flag("shuffle", shuffle),
        drop_last=flag("drop_last", drop_last),
        early_stopping=optional_whole("early_stopping", early_stopping, 1),
        tested="last" if tested == "last" else "best",
        gradient="native" if gradient == "native" else "symbolic",
        callbacks=checked_callbacks(callbacks),
        checkpoint=None if checkpoint is None else checked_path("checkpoint", checkpoint),
        checkpoint_every=optional_whole("checkpoint_every", checkpoint_every, 1),
        max_steps=optional_whole("max_steps", max_steps, 1),
        augmentation=augmentations.checked_augmentation(augmentation),
    )
    _check_together(plan, architecture)
    return plan


def _check_together(plan: Plan, architecture: Architecture) -> None:
    if not architecture.parameters:
        raise ArgumentError("the network has no parameters; there is nothing to train")
    if plan.mini_batch_size > len(plan.training):
        raise ArgumentError(
            f"mini_batch_size is {plan.mini_batch_size}; training_data has only {len(plan.training)} examples"
        )
    if plan.nesterov and not plan.momentum:
        raise ArgumentError("nesterov is True, but momentum is 0; expected a momentum above 0")
    if plan.early_stopping is not None and plan.data["validation_data"] is None:
        raise ArgumentError("early_stopping needs validation_data")
    if plan.early_stopping is not None and plan.tested == "last":
        raise ArgumentError("tested is 'last', but early_stopping keeps another epoch than the last")
    if plan.label_smoothing and not isinstance(architecture.cost, LogLikelihood):
        raise ArgumentError(
            f"label_smoothing needs the cost LogLikelihood(); the network has {architecture.cost!r}"
        )
    if plan.augmentation and len(plan.base.feature_shape) != 3:
        raise ShapeError(
            f"augmentation needs images (channels, height, width); training_data has examples of shape "
            f"{plan.base.feature_shape}, which its reshape() can change"
        )
    if plan.checkpoint_every is not None and plan.checkpoint is None:
        raise ArgumentError("checkpoint_every needs checkpoint, the path to write to")
    for name in ("lmbda", "weight_decay", "label_smoothing"):
        _fits(name, getattr(plan, name), plan.dtype)
    if isinstance(plan.eta, schedules.StepSchedule) and plan.epochs > plan.eta.epochs:
        raise ArgumentError(
            f"epochs is {plan.epochs}; the schedule {plan.eta!r} ends after {plan.eta.epochs}"
        )


def _checked_training(architecture: Architecture, value: Any) -> Dataset | Expanded:
    if not isinstance(value, Expanded):
        return checked_data(architecture, value, "training_data")
    checked_data(architecture, value.base, "training_data")
    return value


def checked_data(architecture: Architecture, value: Any, argument: str) -> Dataset:
    """A data set that fits the network's input shape, and its cost the labels; raises as `as_dataset`.

    Labels that are values, and weights, come in the network's dtype.
    """
    data = as_dataset(value, argument)
    architecture.check_features(data.feature_shape, argument)
    if architecture.cost.targets == "classes":
        _check_classes(architecture, data, argument)
    else:
        _check_values(architecture, data, argument)
    try:
        return data.in_precision(architecture.dtype)
    except ArgumentError as error:
        raise ArgumentError(f"{argument}: {error}") from error


def _check_classes(architecture: Architecture, data: Dataset, argument: str) -> None:
    if not data.has_classes:
        raise ArgumentTypeError(
            f"{argument} has {data.labels.dtype} labels; the cost {architecture.cost!r} takes classes, "
            "integers from 0: cast, for example .astype('int32')"
        )
    (classes,) = architecture.output_shape
    largest = int(data.labels.max())
    if largest >= classes:
        raise ArgumentError(
            f"{argument} has labels from {int(data.labels.min())} to {largest}; "
            f"the network has {classes} classes, 0 to {classes - 1}"
        )


def _check_values(architecture: Architecture, data: Dataset, argument: str) -> None:
    if data.has_classes:
        raise ArgumentTypeError(
            f"{argument} has integer labels; the cost {architecture.cost!r} takes values: cast, for example "
            ".astype('float32')"
        )
    outputs, found = architecture.output_shape, data.labels.shape[1:]
    if found != outputs and (found, outputs) != ((), (1,)):
        raise ShapeError(
            f"{argument} has labels of shape {list(found)} an example; the network's outputs have the shape "
            f"{list(outputs)}"
        )


def checked_shifts(architecture: Architecture, data: Dataset, shifts: object) -> int:
    """The argument `shifts`: 0, or of images a whole number below their height and width."""
    checked = whole("shifts", shifts, 0)
    if checked:
        _, height, width = evaluation.image_shape(architecture, data)
        if checked >= min(height, width):
            raise ArgumentError(
                f"shifts is {checked}; expected less than the images' height and width, {height} and {width}"
            )
    return checked


def _checked_eta(eta: object) -> schedules.Eta:
    if isinstance(eta, str):
        return functions.lookup("schedule", eta, "eta")
    return eta if callable(eta) else number("eta", eta, above=0)


def _fits(name: str, value: float, dtype: str) -> None:
    with np.errstate(over="ignore"):
        rounded = np.dtype(dtype).type(value)
    if not np.isfinite(rounded) or (value and not rounded):
        raise ArgumentError(f"{name} is {value!r}, which {dtype} can not hold")


def _shown(name: str, value: object) -> str:
    if name in DATA_ARGUMENTS:
        return "missing" if value is None else f"data with the fingerprint {value}"
    return repr(value)
