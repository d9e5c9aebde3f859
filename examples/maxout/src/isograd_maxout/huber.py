"""Huber's loss."""

from __future__ import annotations

from dataclasses import dataclass

from isograd import Cost, Tensor
from isograd import graph as G
from isograd.errors import ArgumentError


@dataclass(frozen=True)
class Huber(Cost):
    """Of values: d^2 / 2 where |d| <= delta, else delta * (|d| - delta / 2), d = a - y, summed over a row
    (Huber, "Robust estimation of a location parameter", 1964).

    Raises
    ------
    ArgumentError
        If delta is not above 0.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ArgumentError(f"Huber: delta is {self.delta!r}; expected a number above 0")

    def build(self, outputs: Tensor, targets: Tensor) -> Tensor:
        distance = abs(outputs - targets).reshape(outputs.shape[0], -1)
        # m is the distance, but at most delta: m * (distance - m / 2) is both cases at once.
        m = G.minimum(distance, self.delta)
        return (m * (distance - 0.5 * m)).sum(1)
