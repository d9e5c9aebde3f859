"""What was trained, one network or an ensemble, as a command is given its file; the options of both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isograd.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from isograd.data import Dataset
    from isograd.ensemble import Ballot, Ensemble
    from isograd.network import Network


class Vote(StrEnum):
    plurality = "plurality"
    mean = "mean"


VoteOption = Annotated[
    Vote | None,
    typer.Option(
        help="For an ensemble: the class of most networks, or that of the largest mean probability; by "
        "default plurality.",
        show_default=False,
    ),
]


def load_model(path: Path, best: bool, vote: Vote | None) -> Network | Ensemble:
    """The network or the ensemble of a file.

    Raises
    ------
    ArgumentError
        If `best` is asked of an ensemble, or a vote of one network.
    FileAccessError, FileFormatError
        As `Network.load` does.
    """
    from isograd.ensemble import Ensemble
    from isograd.network import Network
    from isograd.training.ensemble_file import is_ensemble

    if is_ensemble(path):
        if best:
            raise ArgumentError(f"--best is for the checkpoint of a run; {path} holds an ensemble")
        return Ensemble.load(path)
    if vote is not None:
        raise ArgumentError(f"--vote is {vote.value}; {path} holds one network, and only ensembles vote")
    return Network.load(path, best=best)


def check_one_network(path: Path, what: str) -> None:
    """Refuse an ensemble where `what` needs the checkpoint of one network. Raises ArgumentError."""
    from isograd.training.ensemble_file import is_ensemble

    if is_ensemble(path):
        raise ArgumentError(
            f"{path} holds an ensemble; {what} takes one network, such as the run of a member"
        )


@dataclass(frozen=True)
class Score:
    """How many of a data set's examples got the wrong class, and the share of the others."""

    accuracy: float
    errors: int


def score(given: npt.NDArray[np.int32], data: Dataset) -> Score:
    """The score of the classes (n,) that were given to the examples."""
    errors = int((given != data.labels).sum())
    return Score((len(data) - errors) / len(data), errors)


def labelled_ballot(ensemble: Ensemble, data: Dataset, backend: str | None, shifts: int = 0) -> Ballot:
    """As `Ensemble.ballot`, but refuses labels beyond the classes, as `Ensemble.accuracy` does."""
    from isograd.training.plan import checked_data

    checked = checked_data(ensemble.networks[0].architecture, data, "data")
    return ensemble.ballot(checked, backend=backend, shifts=shifts)
