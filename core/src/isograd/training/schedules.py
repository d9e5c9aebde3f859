"""The learning rate as a function of the epoch: "eta as a function of the epoch" of the book's problems.

A schedule is any callable that takes the epoch, counted from 0, and returns eta. Those here are data: they
compare, print and go into files; a function of one's own does so under the name by which it was registered
(`isograd.layers.functions.register`, or a plugin's hook `isograd_functions`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.layers import functions
from isograd.training.checks import number, whole

Eta = float | Callable[[int], float]


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


_SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls for cls in (StepDecay, ExponentialDecay, LinearDecay)
}


def to_data(eta: Eta) -> float | str | dict[str, Any]:
    """eta as it goes into a file: a number, a registered name, or a table with the schedule's "type".

    Raises
    ------
    ArgumentError
        If it is a callable that is neither one of the schedules here nor registered.
    """
    if isinstance(eta, Schedule) and type(eta) is _SCHEDULES.get(type(eta).__name__):
        return {"type": type(eta).__name__, **asdict(eta)}
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
        values = dict(data)
        cls = _SCHEDULES.get(str(values.pop("type", None)))
        if cls is None:
            raise ArgumentError(f"eta has type {data.get('type')!r}; expected one of {', '.join(_SCHEDULES)}")
        names = [f.name for f in fields(cls)]
        if sorted(map(str, values)) != sorted(names):
            raise ArgumentError(
                f"eta of type {cls.__name__} has {', '.join(map(str, values))}; expected {', '.join(names)}"
            )
        return cls(**values)
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise ArgumentTypeError(f"eta is {data!r}; expected a number, a registered name or a table")
    return number("eta", data, above=0)
