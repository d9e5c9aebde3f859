"""Published experiments, run again by name, and reports that put the published figure beside ours.

`experiments` says what there is, `results` what came of it, `report` writes it down. The training is done by
`isograd reproduce`.
"""

from __future__ import annotations

from isograd.reproduction.experiments import COLLECTIONS, Experiment, find_experiments
from isograd.reproduction.results import Report, Result, Trained

__all__ = ["COLLECTIONS", "Experiment", "Report", "Result", "Trained", "find_experiments"]
