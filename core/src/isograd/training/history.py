"""What a training run did, epoch by epoch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from isograd.errors import FileFormatError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURED, TEST_COST = "measured", "test_cost"
Stopped = Literal["completed", "early stopping", "interrupted", "callback", "max_steps"]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch : int
        Counted from 0.
    cost : float
        The mean over the epoch's steps of the cost that was minimised, regularisation included, each step's
        as it was before its update.
    eta : float
        The learning rate of the epoch's first step.
    seconds : float
        Of training, without evaluation.
    images_per_second : float
        Training examples used, by `seconds`.
    validation_accuracy : float, optional
        The fraction of the validation data classified correctly after the epoch; None without such data, or
        where the cost is of values.
    validation_cost : float, optional
        The mean cost of the validation data, without regularisation.
    test_accuracy : float, optional
        As `validation_accuracy`, for the test data. It is measured only where the validation accuracy is the
        best so far (or equals it), as in the listing; without validation data, after every epoch. With
        `tested="last"`: after the last epoch alone.
    measured : mapping of str to float
        What callbacks measured after the epoch (`Callback.measure`), by name; NaN and infinities may be among
        it.
    test_cost : float, optional
        As `validation_cost`, for the test data, whenever they are evaluated.
    """

    epoch: int
    cost: float
    eta: float
    seconds: float
    images_per_second: float
    validation_accuracy: float | None = None
    validation_cost: float | None = None
    test_accuracy: float | None = None
    measured: Mapping[str, float] = field(default_factory=dict, hash=False)
    test_cost: float | None = None

    @property
    def score(self) -> float | None:
        """By which epochs are compared: the higher, the better; None without validation data.

        The validation accuracy; where the cost is of values, the validation cost with its sign changed.
        """
        if self.validation_accuracy is not None or self.validation_cost is None:
            return self.validation_accuracy
        return -self.validation_cost

    def to_data(self) -> dict[str, Any]:
        """Plain data that JSON can hold; NaN and infinities, which it can not, become strings.

        Without "test_cost" and "measured" where there are none, as in what earlier versions wrote.
        """
        data = asdict(self)
        measured = data.pop(MEASURED)
        if self.test_cost is None:
            del data[TEST_COST]
        values: dict[str, Any] = {name: _writable(value) for name, value in data.items()}
        if measured:
            values[MEASURED] = {name: _writable(value) for name, value in measured.items()}
        return values


def epoch_line(record: EpochRecord) -> str:
    """An epoch as people read it, on one line."""
    parts = [f"epoch {record.epoch}: cost {record.cost:.5g}"]
    shown = {
        "training": (record.measured.get("training_accuracy"), None),
        "validation": (record.validation_accuracy, record.validation_cost),
        "test": (record.test_accuracy, record.test_cost),
    }
    for name, (accuracy, cost) in shown.items():
        if accuracy is not None:
            parts.append(f"{name} {100 * accuracy:.2f} %")
        elif cost is not None:
            parts.append(f"{name} cost {cost:.5g}")
    parts.append(f"{record.images_per_second:,.0f} images/s")
    return ", ".join(parts)


@dataclass
class History:
    """The epochs of a run, and why it ended.

    Attributes
    ----------
    epochs : list of EpochRecord
    stopped : str
        "completed" after the last epoch; "early stopping", "interrupted" (by Ctrl-C), "callback" or
        "max_steps" where that ended it before; None while it runs.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    stopped: Stopped | None = None

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best score, of equals the later; without validation data the last."""
        best: EpochRecord | None = None
        for record in self.epochs:
            if best is None or _not_worse(record, best):
                best = record
        return None if best is None else best.epoch

    def is_best(self, record: EpochRecord) -> bool:
        """Whether a further epoch would be the best one."""
        return self.best_epoch is None or _not_worse(record, self.epochs[self.best_epoch])

    @property
    def best_validation_accuracy(self) -> float | None:
        """The validation accuracy at `best_epoch`."""
        return None if self.best_epoch is None else self.epochs[self.best_epoch].validation_accuracy

    @property
    def best_validation_cost(self) -> float | None:
        """The validation cost at `best_epoch`."""
        return None if self.best_epoch is None else self.epochs[self.best_epoch].validation_cost

    @property
    def test_accuracy(self) -> float | None:
        """The latest test accuracy: the figure to report for the run.

        It is that of `best_epoch`, or with `tested="last"` that of the last epoch.
        """
        return None if self.test_epoch is None else self.epochs[self.test_epoch].test_accuracy

    @property
    def test_epoch(self) -> int | None:
        """The epoch of `test_accuracy` and `test_cost`."""
        tested = (r.epoch for r in reversed(self.epochs) if (r.test_accuracy, r.test_cost) != (None, None))
        return next(tested, None)

    @property
    def test_cost(self) -> float | None:
        """The cost of the test data, measured with `test_accuracy`."""
        return None if self.test_epoch is None else self.epochs[self.test_epoch].test_cost

    @property
    def epochs_without_improvement(self) -> int:
        """How many epochs have passed since the score last exceeded all before it."""
        scores = [record.score for record in self.epochs if record.score is not None]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def to_data(self) -> dict[str, Any]:
        """Plain data that JSON can hold, with each epoch as `EpochRecord.to_data` gives it."""
        return {"stopped": self.stopped, "epochs": [record.to_data() for record in self.epochs]}

    @classmethod
    def from_data(cls, data: object) -> History:
        """What `to_data` wrote.

        Raises
        ------
        FileFormatError
            If it is something else; the message says what.
        """
        if not isinstance(data, Mapping) or set(data) != {"stopped", "epochs"}:
            raise FileFormatError("history: expected an object with stopped and epochs")
        if data["stopped"] not in (None, *get_args(Stopped)):
            raise FileFormatError(
                f"history: stopped is {data['stopped']!r}; expected one of {get_args(Stopped)}"
            )
        if not isinstance(data["epochs"], list):
            raise FileFormatError("history: epochs is no list")
        records = [_record(index, item) for index, item in enumerate(data["epochs"])]
        return cls(records, data["stopped"])

    def to_json(self) -> str:
        """The history as JSON text, with "format" 1."""
        return json.dumps({"format": 1, **self.to_data()}, allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> History:
        """What `to_json` wrote. Raises FileFormatError where the text is something else."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"history: no JSON: {error}") from error
        if not isinstance(data, dict) or data.pop("format", None) != 1:
            raise FileFormatError("history: expected a JSON object with format 1")
        return cls.from_data(data)

    def _repr_html_(self) -> str:
        """The table of the epochs and, if matplotlib is installed, their curves, for a notebook."""
        from isograd.training.notebook import history_html

        return history_html(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The figure of `isograd.figures.plot_history`, written to `path` if one is given.

        Raises as that and `isograd.figures.write_figure` do.
        """
        from isograd.figures import plot_history, write_figure

        figure = plot_history(self)
        if path is not None:
            write_figure(figure, path)
        return figure


def _not_worse(record: EpochRecord, other: EpochRecord) -> bool:
    return record.score is None or other.score is None or record.score >= other.score


def _writable(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _record(index: int, item: object) -> EpochRecord:
    names = [f.name for f in fields(EpochRecord) if f.name != MEASURED]
    if not isinstance(item, Mapping) or set(item) - {MEASURED, TEST_COST} != set(names) - {TEST_COST}:
        raise FileFormatError(f"history: epoch {index}: expected an object with {', '.join(names)}")
    if item["epoch"] != index or isinstance(item["epoch"], bool):
        raise FileFormatError(f"history: epoch {index} is numbered {item['epoch']!r}")
    values = {name: _readable(index, name, item.get(name)) for name in names[1:]}
    measured = item.get(MEASURED, {})
    if not isinstance(measured, Mapping) or not all(isinstance(name, str) for name in measured):
        raise FileFormatError(f"history: epoch {index}: {MEASURED} is {measured!r}; expected an object")
    numbers = {name: _number(index, f"{MEASURED} {name}", value) for name, value in measured.items()}
    return EpochRecord(index, **values, measured=numbers)  # type: ignore[arg-type]


def _readable(index: int, name: str, value: object) -> float | None:
    if value is None and name.startswith(("validation", "test")):
        return None
    return _number(index, name, value)


def _number(index: int, name: str, value: object) -> float:
    if value in ("nan", "inf", "-inf"):
        return float(str(value))
    if not isinstance(value, float):
        raise FileFormatError(f"history: epoch {index}: {name} is {value!r}; expected a number with a point")
    return value
