"""Training: stochastic gradient descent, what it records, and what may be hooked into it.

`Network.SGD` is the way in; `step` has the equations, `run` the loop, `checkpoint` the file format.
"""

from __future__ import annotations

from isograd.training.augmentation import Affine, Augmentation, Elastic, OnePixelShifts
from isograd.training.callbacks import Callback, Progress
from isograd.training.checkpoint_files import Checkpoints
from isograd.training.diagnostics import Diagnostics
from isograd.training.early_stopping import EarlyStopping
from isograd.training.gaps import Overfitting, overfitting
from isograd.training.history import EpochRecord, History
from isograd.training.logs import CSVLog, JSONLinesLog
from isograd.training.schedules import (
    CosineDecay,
    ExponentialDecay,
    LinearDecay,
    Schedule,
    StepDecay,
    StepSchedule,
    Triangular,
)

__all__ = [
    "Affine",
    "Augmentation",
    "CSVLog",
    "Callback",
    "Checkpoints",
    "CosineDecay",
    "Diagnostics",
    "EarlyStopping",
    "Elastic",
    "EpochRecord",
    "ExponentialDecay",
    "History",
    "JSONLinesLog",
    "LinearDecay",
    "OnePixelShifts",
    "Overfitting",
    "Progress",
    "Schedule",
    "StepDecay",
    "StepSchedule",
    "Triangular",
    "overfitting",
]
