"""From the folders of finished runs to results."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from isograd import __version__
from isograd.data import Dataset, load_dataset
from isograd.ensemble import Ballot, Ensemble, Vote
from isograd.evaluation import accuracy
from isograd.network import Network
from isograd.reproduction.experiments import Experiment
from isograd.reproduction.results import Mistake, Report, Result, Trained, Votes, best_run
from isograd.runs import RunFile

if TYPE_CHECKING:
    from isograd.training import History


def trained(seed: int, history: History, checkpoint: Path) -> Trained:
    """A finished run, with the backend that its checkpoint names."""
    training = Network.load(checkpoint).training
    computed = {} if training is None else training.backend
    backend = f"{computed['name']}:{computed['device']} {computed['version']}" if computed else ""
    return Trained(seed, history, backend)


def gather(
    experiment: Experiment,
    run: RunFile,
    scaled: bool,
    wanted: int,
    finished: Mapping[int, tuple[History, Path]],
    failed: Mapping[int, str],
    backend: str | None,
) -> Result:
    """The result of an experiment.

    Parameters
    ----------
    experiment, run, scaled, wanted, failed
        As in `Result`.
    finished : mapping of int to (History, Path)
        By seed: a run's history and checkpoint.
    backend : str, optional
        What evaluates, as for `isograd.choose_backend`.
    """
    runs = tuple(trained(seed, *found) for seed, found in sorted(finished.items()))
    chosen, votes = best_run(runs), None
    mistakes: tuple[Mistake, ...] = ()
    splits = load_dataset(run.data.source, validation_size=run.data.validation_size) if runs else None
    if splits is not None and splits.test is not None and chosen is not None:
        checkpoints = {seed: checkpoint for seed, (_, checkpoint) in sorted(finished.items())}
        if not experiment.members:
            network = run.trained_network(checkpoints[chosen.seed])
            mistakes = _mistakes(splits.test, network.predict(splits.test, backend=backend))
        elif len(runs) == wanted:
            networks = [run.trained_network(path) for path in checkpoints.values()]
            votes, mistakes = _vote(experiment, Ensemble(networks), splits.validation, splits.test, backend)
    return Result(experiment, run, scaled, wanted, runs, failed, votes, mistakes)


def _vote(
    experiment: Experiment,
    ensemble: Ensemble,
    validation: Dataset | None,
    test: Dataset,
    backend: str | None,
) -> tuple[Votes, tuple[Mistake, ...]]:
    vote = partial(ensemble.ballot, backend=backend, shifts=experiment.shifts)
    ballot = vote(test)
    votes = Votes(
        _accuracies(ballot, test), {} if validation is None else _accuracies(vote(validation), validation)
    )
    return votes, _mistakes(test, ballot.decision(experiment.vote))


def _accuracies(ballot: Ballot, data: Dataset) -> dict[str, float]:
    """By the way of voting."""
    return {vote: accuracy(data, ballot.decision(vote)) for vote in get_args(Vote)}


def _mistakes(data: Dataset, given: npt.NDArray[np.int32]) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(int(index), int(data.labels[index]), int(given[index]))
        for index in np.flatnonzero(given != data.labels)
    )


def make_report(collection: str, results: Sequence[Result]) -> Report:
    """The results with today's date and what computed them."""
    versions = {
        "isograd": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
    return Report(collection, date.today().isoformat(), versions, tuple(results))
