"""Training: stochastic gradient descent, what it records, and what may be hooked into it.

`Network.SGD` is the way in; `step` has the equations, `run` the loop, `checkpoint` the file format.
"""

from __future__ import annotations

from isograd.training.callbacks import Callback, Progress
from isograd.training.history import EpochRecord, History
from isograd.training.schedules import ExponentialDecay, LinearDecay, Schedule, StepDecay

__all__ = [
    "Callback",
    "EpochRecord",
    "ExponentialDecay",
    "History",
    "LinearDecay",
    "Progress",
    "Schedule",
    "StepDecay",
]
