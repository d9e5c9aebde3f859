"""How much was compared, and how much of it proves something: what a run's report adds up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from isograd_conformance.bounds.tracking import Array, Tracked

# A bound beyond this part of the largest element proves nothing about an element.
VACUOUS = 0.05


class Count(NamedTuple):
    """Of one array: its largest error as a part of the bound, and the share of vacuous elements."""

    worst: float
    share: float


@dataclass
class Tally:
    """How many elements were compared, how many of them with a bound that proves nothing.

    Attributes
    ----------
    elements, vacuous : int
    worst : float
        The largest error as a part of the bound E, of at most 2 where all agrees.
    unlikely : int
        How many arrays agree, but are farther off than independent roundings would take them.
    dtypes : set of str
        Of the arrays.
    """

    elements: int = 0
    vacuous: int = 0
    worst: float = 0.0
    unlikely: int = 0
    dtypes: set[str] = field(default_factory=set)

    def add(self, found: Array, tracked: Tracked) -> Count:
        """Count one array that was held to its bound."""
        value, error = tracked.value.astype(np.float64), tracked.error
        finite = np.isfinite(value)
        self.elements += value.size
        self.dtypes.add(found.dtype.name)
        if not finite.any():
            return Count(0.0, 0.0)
        scale = float(abs(value[finite]).max())
        vacuous = int(np.count_nonzero(error > VACUOUS * scale))
        self.vacuous += vacuous
        worst, bounded = 0.0, finite & (error > 0) & np.isfinite(error)
        if bounded.any():
            worst = float(tracked.ratios(found)[bounded].max())
        self.worst = max(self.worst, worst)
        return Count(worst, vacuous / value.size)

    def reset(self) -> None:
        """Begin again."""
        self.elements = self.vacuous = self.unlikely = 0
        self.worst = 0.0
        self.dtypes.clear()


# Of the test that is running; the plugin reads and resets it.
tally = Tally()
