"""What came of experiments: runs, votes and mistakes, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from isograd.pages.fragments import table
from isograd.reproduction.experiments import Experiment
from isograd.runs import RunFile

if TYPE_CHECKING:
    from isograd.training import History

# In points of a per cent: ten of MNIST's 10,000 test images, the standard error of an accuracy of 99 %.
TOLERATED = 0.1


@dataclass(frozen=True)
class Trained:
    """One finished run.

    Attributes
    ----------
    seed : int
    history : History
    backend : str
        Name, device and version of what computed it.
    """

    seed: int
    history: History
    backend: str

    @property
    def epoch(self) -> int | None:
        """The epoch whose network counts, from 0: that of the test accuracy."""
        return self.history.test_epoch

    @property
    def validation(self) -> float | None:
        """The validation accuracy in that epoch, a fraction."""
        return None if self.epoch is None else self.history.epochs[self.epoch].validation_accuracy

    @property
    def test(self) -> float | None:
        """The test accuracy, a fraction."""
        return self.history.test_accuracy

    @property
    def seconds(self) -> float:
        """Of training, without evaluation."""
        return sum(record.seconds for record in self.history.epochs)

    def to_data(self) -> dict[str, Any]:
        """Plain data, as the report in JSON has it."""
        return {
            "seed": self.seed,
            "epoch": self.epoch,
            "validation_accuracy": self.validation,
            "test_accuracy": self.test,
            "seconds": self.seconds,
            "backend": self.backend,
            "history": self.history.to_data(),
        }


@dataclass(frozen=True)
class Votes:
    """What an ensemble decides: accuracies as fractions, by the way of voting."""

    test: Mapping[str, float]
    validation: Mapping[str, float]


@dataclass(frozen=True)
class Mistake:
    """A test example that is classified wrongly; index, label and given class count from 0."""

    index: int
    label: int
    given: int


@dataclass(frozen=True)
class Result:
    """One experiment's.

    Attributes
    ----------
    experiment : Experiment
    run : RunFile
        That of its first seed.
    scaled : bool
        Whether it had another number of epochs than the experiment has.
    wanted : int
        How many runs were asked for.
    runs : tuple of Trained
        Those that are finished, in the order of their seeds.
    failed : mapping of int to str
        By seed, what ended a run.
    votes : Votes, optional
        Of an ensemble whose members are all there.
    mistakes : tuple of Mistake
        On the test data: of the ensemble by the experiment's vote, else of the chosen run.
    """

    experiment: Experiment
    run: RunFile
    scaled: bool
    wanted: int
    runs: tuple[Trained, ...]
    failed: Mapping[int, str] = field(default_factory=dict)
    votes: Votes | None = None
    mistakes: tuple[Mistake, ...] = ()

    @property
    def chosen(self) -> Trained | None:
        """The run of the best validation accuracy, of equals the first; None where none is finished."""
        return best_run(self.runs)

    @property
    def mean(self) -> float | None:
        """The mean test accuracy of the runs, a fraction."""
        tests = [run.test for run in self.runs if run.test is not None]
        return sum(tests) / len(tests) if tests else None

    @property
    def accuracy(self) -> float | None:
        """The test accuracy to put beside the published one: as the experiment's members or `figure` say."""
        if self.experiment.members:
            return None if self.votes is None else self.votes.test[self.experiment.vote]
        if self.experiment.figure == "mean":
            return self.mean
        return None if self.chosen is None else self.chosen.test

    @property
    def difference(self) -> float | None:
        """Accuracy less the published one, in points of a per cent, to two decimals as that is published."""
        if self.accuracy is None or self.experiment.reported is None:
            return None
        # + 0.0, so that no difference is not shown as less than none.
        return round(100 * self.accuracy - self.experiment.reported, 2) + 0.0

    @property
    def verdict(self) -> Literal["good", "bad", "none"]:
        """Whether the accuracy is within `TOLERATED` points of the published one, or above it.

        "none" where there is nothing to compare, and for
        what was scaled or lacks runs: it is not the experiment that was published.
        """
        if self.difference is None or self.scaled or len(self.runs) < self.wanted:
            return "none"
        return "good" if self.difference >= -TOLERATED else "bad"

    @property
    def extent(self) -> str:
        """ "full", or how it was scaled."""
        epochs = self.run.training.epochs
        return f"scaled to {epochs} epoch{'s' if epochs > 1 else ''}" if self.scaled else "full"

    def to_data(self) -> dict[str, Any]:
        """Plain data, as the report in JSON has it."""
        experiment = asdict(self.experiment)
        return {
            "experiment": {**experiment, "changes": dict(self.experiment.changes)},
            "run": asdict(self.run),
            "extent": self.extent,
            "accuracy": self.accuracy,
            "difference": self.difference,
            "verdict": self.verdict,
            "mean": self.mean,
            "chosen": None if self.chosen is None else self.chosen.seed,
            "runs": [run.to_data() for run in self.runs],
            "failed": {str(seed): error for seed, error in self.failed.items()},
            "votes": None if self.votes is None else asdict(self.votes),
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
        }


def best_run(runs: Sequence[Trained]) -> Trained | None:
    """The run of the best validation accuracy, of equals the first."""
    return max(runs, key=lambda run: run.validation or 0.0, default=None)


@dataclass(frozen=True)
class Report:
    """A collection's results, and where they were computed.

    Attributes
    ----------
    collection : str
    date : str
        Of the report: YYYY-MM-DD.
    versions : mapping of str
        Of isograd, Python and NumPy, the system and processor.
    results : tuple of Result
    """

    collection: str
    date: str
    versions: Mapping[str, str]
    results: tuple[Result, ...]

    def _repr_html_(self) -> str:
        """The table of all experiments, for a notebook."""
        from isograd.reproduction.report import HEADINGS, row

        return table(HEADINGS, [row(result) for result in self.results])

    def to_data(self) -> dict[str, Any]:
        """Plain data, with "format" 1."""
        return {
            "format": 1,
            "collection": self.collection,
            "date": self.date,
            "versions": dict(self.versions),
            "results": [result.to_data() for result in self.results],
        }
