"""The rounding-error bound of a graph: what a correct evaluation may differ by, element by element.

`track` runs the reference evaluation in float64 over pairs of a value and an absolute bound on its error;
one rule a primitive carries the bounds along (`structure`, `elementwise`, `sums`). Nothing is tuned: each
rule has its source beside it, and what it takes of a backend is what the backend declares.
"""

from __future__ import annotations

from isograd_conformance.bounds import elementwise, structure, sums
from isograd_conformance.bounds.agreement import (
    DisagreementError,
    Judgement,
    agree,
    disagreement,
    judge,
    wrong_elements,
)
from isograd_conformance.bounds.tally import Tally, tally
from isograd_conformance.bounds.tracking import (
    IEEE,
    RULES,
    Application,
    Arithmetic,
    Tracked,
    gamma,
    track,
)

__all__ = [
    "IEEE",
    "RULES",
    "Application",
    "Arithmetic",
    "DisagreementError",
    "Judgement",
    "Tally",
    "Tracked",
    "agree",
    "disagreement",
    "elementwise",
    "gamma",
    "judge",
    "structure",
    "sums",
    "tally",
    "track",
    "wrong_elements",
]
