"""The experiments by name: what is run, and the figure that was published. Light to import: no NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from isograd.errors import ArgumentError
from isograd.runs import RunFile, read_preset

if TYPE_CHECKING:
    from isograd.ensemble import Vote

_LARGEST_SCALE = 1000


@dataclass(frozen=True)
class Experiment:
    """One experiment: a preset with some values changed, trained with several seeds.

    Attributes
    ----------
    name : str
    preset : str
    summary : str
    reported : float, optional
        The published test accuracy in per cent; None where there is none.
    source : str
        Whose figure that is.
    changes : mapping of str
        Values of the run file by key ("training.lmbda"), as `RunFile.override` takes them.
    members : int
        How many networks vote; 0 for an experiment on single networks. The members have the seeds 0, 1, ...
    vote : "plurality" or "mean"
        Which of an ensemble's votes is compared with the published figure: plurality, as in the chapter, or
        the largest mean probability.
    shifts : int
        By how many pixels at most the images are moved when the members vote, as `Ensemble.ballot` takes it.
    figure : "best" or "mean"
        What is compared with the published figure: the run with the best validation accuracy, as the chapter
        does, or the mean over all runs.
    trained_as : str
        The experiment whose runs these are, if another one trains the same; its folder is used.
    group : str
        A name for several experiments together; also what the report draws in one picture.
    """

    name: str
    preset: str
    summary: str
    reported: float | None = None
    source: str = "the chapter"
    changes: Mapping[str, Any] = field(default_factory=dict)
    members: int = 0
    vote: Vote = "plurality"
    shifts: int = 0
    figure: Literal["best", "mean"] = "best"
    trained_as: str = ""
    group: str = ""

    def run(self, seed: int, epochs_scale: float = 1.0) -> RunFile:
        """The run with a seed, its number of epochs multiplied by `epochs_scale` and rounded, at least 1.

        A schedule's own number of epochs is multiplied too, so that it stays as long as the run.

        Raises
        ------
        ArgumentError
            If epochs_scale is not above 0 and at most 1000.
        """
        if not 0 < epochs_scale <= _LARGEST_SCALE:
            raise ArgumentError(
                f"epochs_scale is {epochs_scale}; expected a number above 0 and at most {_LARGEST_SCALE}"
            )
        run = read_preset(self.preset).override({**self.changes, "seed": seed})
        training = replace(run.training, epochs=_scaled(run.training.epochs, epochs_scale))
        if isinstance(training.eta, dict) and "epochs" in training.eta:
            eta = {**training.eta, "epochs": _scaled(training.eta["epochs"], epochs_scale)}
            training = replace(training, eta=eta)
        return replace(run, training=training)

    @property
    def folder(self) -> str:
        """The name of the folder of its runs."""
        return self.trained_as or self.name


def _scaled(epochs: int, scale: float) -> int:
    return max(1, round(epochs * scale))


_LAMBDAS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)


def _sweep(preset: str, own: float) -> list[Experiment]:
    """One network for each lambda; with `own` it is the preset's own run."""
    name = preset.rpartition("/")[2]
    return [
        Experiment(
            f"{name}_lambda_{lmbda:g}",
            preset,
            f"{name} with lambda = {lmbda:g}",
            changes={"training.lmbda": lmbda},
            trained_as=name if lmbda == own else "",
            group=f"sweep_{name}",
        )
        for lmbda in _LAMBDAS
    ]


_CHAPTER6 = (
    Experiment("shallow", "chapter6/shallow", "one hidden layer of 100 sigmoids", 97.80),
    Experiment("basic_conv", "chapter6/basic_conv", "a convolution and a hidden layer", 98.78),
    Experiment("omit_fc", "chapter6/omit_fc", "a convolution without a hidden layer"),
    Experiment("dbl_conv", "chapter6/dbl_conv", "two convolutions and a hidden layer", 99.06, group="tanh"),
    Experiment("dbl_conv_tanh", "chapter6/dbl_conv_tanh", "the same with tanh", group="tanh"),
    Experiment(
        "dbl_conv_tanh_20",
        "chapter6/dbl_conv_tanh",
        "with tanh, 20 epochs",
        changes={"training.epochs": 20},
    ),
    Experiment("dbl_conv_relu", "chapter6/dbl_conv_relu", "with relu and L2, lambda = 0.1", 99.23),
    Experiment(
        "dbl_conv_relu_text",
        "chapter6/dbl_conv_relu",
        "with lambda = 0.01, as the chapter's text has it",
        99.23,
        changes={"training.lmbda": 0.01},
        trained_as="dbl_conv_relu_lambda_0.01",
    ),
    Experiment("expanded", "chapter6/expanded", "on each image and its four shifts by a pixel", 99.37),
    Experiment("expanded_300", "chapter6/expanded_300", "the hidden layer of 300", 99.46),
    Experiment("expanded_1000", "chapter6/expanded_1000", "the hidden layer of 1,000", 99.43),
    Experiment("double_fc", "chapter6/double_fc", "two hidden layers of 100, expanded data", 99.43),
    Experiment("double_fc_300", "chapter6/double_fc_300", "two hidden layers of 300", 99.48),
    Experiment("double_fc_1000", "chapter6/double_fc_1000", "two hidden layers of 1,000", 99.47),
    Experiment("double_fc_dropout", "chapter6/double_fc_dropout", "two of 1,000 with dropout", 99.60),
    Experiment(
        "ensemble",
        "chapter6/double_fc_dropout",
        "five networks with dropout vote",
        99.67,
        members=5,
        trained_as="double_fc_dropout",
    ),
    Experiment(
        "deep_sigmoid", "chapter6/deep_sigmoid", "four hidden layers of sigmoids", group="unstable_gradient"
    ),
    Experiment("deep_relu", "chapter6/deep_relu", "four hidden layers of relu", group="unstable_gradient"),
    *_sweep("chapter6/dbl_conv", 0.0),
    *_sweep("chapter6/dbl_conv_relu", 0.1),
)

_FAST = "the chapter's ensemble of five"
_MNIST = (
    Experiment("fast", "mnist/fast", "one network in minutes", 99.67, _FAST, figure="mean"),
    Experiment(
        "fast_ensemble",
        "mnist/fast",
        "five of them vote, on each image's shifts by a pixel",
        99.67,
        _FAST,
        members=5,
        vote="mean",
        shifts=1,
        trained_as="fast",
    ),
)

COLLECTIONS: Mapping[str, tuple[Experiment, ...]] = {"chapter6": _CHAPTER6, "mnist": _MNIST}
"""The experiments that `isograd reproduce` runs, in the order of their reports."""


def find_experiments(collection: str, names: Sequence[str] = ()) -> list[Experiment]:
    """The experiments of a collection in its order: all, or those whose name or group is given.

    Raises
    ------
    ArgumentError
        If the collection or a name is unknown; the message lists what there is.
    """
    if collection not in COLLECTIONS:
        raise ArgumentError(f"COLLECTION is {collection!r}; expected one of {', '.join(COLLECTIONS)}")
    experiments = COLLECTIONS[collection]
    known = {name: None for e in experiments for name in (e.name, e.group) if name}
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ArgumentError(f"NAME is {name!r}; {hint}{collection} has {', '.join(known)}")
    return [e for e in experiments if not names or e.name in names or e.group in names]
