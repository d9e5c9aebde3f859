"""The learning rate as a function of the epoch ("eta as a function of the epoch" of the book's problems), or
of the step.

A schedule is any callable that takes the epoch, counted from 0, and returns eta, or a `StepSchedule`, which
gives each step its own. Those here are data: they compare, print and go into files; a function or
`StepSchedule` of one's own does so under the name by which it was registered
(`isograd.layers.functions.register`, or a plugin's hook `isograd_functions`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.layers import functions
from isograd.tables import from_table, to_table
from isograd.training.checks import number, whole


@dataclass(frozen=True)
class StepSchedule(ABC):
    """A learning rate that changes with every step, over a number of epochs.

    A step has the rate of its middle: of step k of the K steps of all those epochs, both counted through from
    0, the share (k + 1/2) / K of the way. So every step has a rate above 0, the first and the last too, and
    where a run is stopped and resumed changes nothing.

    Attributes
    ----------
    eta : float
        The highest rate.
    epochs : int
        How long the schedule is. A run may have fewer epochs, and no more.
    """

    eta: float
    epochs: int

    def __post_init__(self) -> None:
        number("eta", self.eta, above=0)
        whole("epochs", self.epochs, 1)

    @abstractmethod
    def at(self, share: float) -> float:
        """eta at a share of the way, between 0 and 1."""

    def __call__(self, epoch: int, step: int, steps: int) -> float:
        """eta of a step of an epoch of so many steps; all are counted from 0."""
        return self.at((epoch * steps + step + 0.5) / (self.epochs * steps))


@dataclass(frozen=True)
class CosineDecay(StepSchedule):
    """From eta to `last` along half a cosine: last + (eta - last) * (1 + cos(pi * share)) / 2.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5,
    without restarts.

    Attributes
    ----------
    last : float
        At most eta; by default 0.
    """

    last: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if number("last", self.last, least=0) > self.eta:
            raise ArgumentError(f"last is {self.last!r}; expected at most eta, {self.eta!r}")

    def at(self, share: float) -> float:
        return float(self.last + (self.eta - self.last) * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True)
class Triangular(StepSchedule):
    """One cycle: from 0 in a straight line up to eta, and in a straight line down to 0.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    2017: eta * share / warm_up up to the share `warm_up`, then eta * (1 - share) / (1 - warm_up).

    Attributes
    ----------
    eta : float
        The peak.
    warm_up : float
        In [0, 1); 0 leaves out the way up.
    """

    warm_up: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        number("warm_up", self.warm_up, least=0, below=1)

    def at(self, share: float) -> float:
        if share < self.warm_up:
            return float(self.eta * (share / self.warm_up))
        return float(self.eta * ((1 - share) / (1 - self.warm_up)))


Eta = float | Callable[[int], float] | StepSchedule


@dataclass(frozen=True)
class Schedule(ABC):
    """A learning rate that starts at `eta` and changes with the epoch."""

    eta: float

    def __post_init__(self) -> None:
        number("eta", self.eta, above=0)

    @abstractmethod
    def __call__(self, epoch: int) -> float:
        """eta in an epoch, counted from 0."""


@dataclass(frozen=True)
class StepDecay(Schedule):
    """eta * factor**(epoch // every): constant for `every` epochs, then multiplied by `factor`."""

    factor: float
    every: int

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, above=0)
        whole("every", self.every, 1)

    def __call__(self, epoch: int) -> float:
        return float(self.eta * self.factor ** (epoch // self.every))


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """eta * factor**epoch."""

    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        number("factor", self.factor, above=0)

    def __call__(self, epoch: int) -> float:
        return float(self.eta * self.factor**epoch)


@dataclass(frozen=True)
class LinearDecay(Schedule):
    """From eta in epoch 0 in equal steps down to `last` in epoch `epochs` - 1, and `last` ever after."""

    last: float
    epochs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        number("last", self.last, above=0)
        whole("epochs", self.epochs, 2)

    def __call__(self, epoch: int) -> float:
        share = min(epoch / (self.epochs - 1), 1)
        return float(self.eta * (1 - share) + self.last * share)


_SCHEDULES: dict[str, type[Schedule | StepSchedule]] = {
    cls.__name__: cls for cls in (StepDecay, ExponentialDecay, LinearDecay, CosineDecay, Triangular)
}


def to_data(eta: Eta) -> float | str | dict[str, Any]:
    """eta as it goes into a file: a number, a registered name, or a table with the schedule's "type".

    Raises
    ------
    ArgumentError
        If it is a callable that is neither one of the schedules here nor registered.
    """
    if isinstance(eta, Schedule | StepSchedule) and type(eta) is _SCHEDULES.get(type(eta).__name__):
        return to_table(eta)
    if callable(eta):
        return functions.registered_name("schedule", eta, "eta")
    return float(eta)


def from_data(data: object) -> Eta:
    """What `to_data` wrote.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is something else; the message says what.
    """
    if isinstance(data, str):
        return functions.lookup("schedule", data, "eta")
    if isinstance(data, Mapping):
        return from_table(data, _SCHEDULES, "eta")
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise ArgumentTypeError(f"eta is {data!r}; expected a number, a registered name or a table")
    return number("eta", data, above=0)
