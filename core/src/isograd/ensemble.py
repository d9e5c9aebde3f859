"""Networks that vote: an ensemble, as in chapter 6, where five networks with dropout decide by majority."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from isograd import evaluation
from isograd.architecture import Architecture
from isograd.backend import Backend
from isograd.backend_choice import choose_backend
from isograd.data import Dataset
from isograd.data.files import file_name
from isograd.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileFormatError,
    IsogradError,
    ShapeError,
    UnsupportedError,
)
from isograd.graph.tensor import Shape
from isograd.model import Data
from isograd.network import Network
from isograd.training import ensemble_file
from isograd.training.plan import checked_data, checked_shifts

Vote = Literal["plurality", "mean"]


@dataclass(frozen=True, eq=False)
class Ballot:
    """What the networks of an ensemble say about n examples.

    Attributes
    ----------
    votes : ndarray
        int32, (networks, n): the class that each network gives each example.
    probabilities : ndarray
        float64, (n, classes): the mean of the networks' probabilities.
    """

    votes: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float64]

    def counts(self) -> npt.NDArray[np.int64]:
        """How many networks vote for each class: int64, (n, classes)."""
        counts = np.zeros(self.probabilities.shape, np.int64)
        examples = np.arange(len(counts))
        for vote in self.votes:
            counts[examples, vote] += 1
        return counts

    def decision(self, vote: Vote) -> npt.NDArray[np.int32]:
        """The class of each example: int32, (n,).

        With p[k, c] network k's probability of class c and v[k] its vote, "mean" is argmax_c mean_k p[k, c];
        "plurality" is the c of most votes #{k: v[k] = c}, of equals that of larger mean_k p[k, c], and of
        those, as for "mean", the first.

        Raises
        ------
        ArgumentError
            If `vote` is neither.
        """
        check_vote(vote)
        scores = self.probabilities
        if vote == "plurality":
            counts = self.counts()
            scores = np.where(counts == counts.max(axis=1, keepdims=True), scores, -np.inf)
        decided: npt.NDArray[np.int32] = np.argmax(scores, axis=1).astype(np.int32)
        return decided


class Ensemble:
    """Networks that classify together. They are held, not copied: training one changes the ensemble.

    Parameters
    ----------
    networks : sequence of Network
        From 1 to 1,000, of one input shape and number of classes. Their layers and dtypes may differ: votes
        are whole numbers, and probabilities are averaged in float64.

    Attributes
    ----------
    networks : tuple of Network

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If there are none or too many, or one is no network or does not fit the first; the message names it,
        as networks[i].
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = _checked_networks(networks)

    def __len__(self) -> int:
        return len(self.networks)

    def __repr__(self) -> str:
        count = f"{len(self)} network{'s' if len(self) > 1 else ''}"
        return f"Ensemble({count}, input_shape={self.input_shape}, classes={self.classes})"

    @property
    def input_shape(self) -> Shape:
        """The shape of one example."""
        return self.networks[0].input_shape

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.networks[0].output_shape[0]

    def ballot(
        self, x: npt.ArrayLike | Dataset, *, backend: str | Backend | None = None, shifts: int = 0
    ) -> Ballot:
        """The votes and probabilities of all networks, for each of which the data are read once.

        Arguments and errors as of `Network.predict`. A network's vote is what its `predict` says, without
        shifts the argmax of its outputs, from which the argmax of its rounded probabilities may differ.
        """
        data = evaluation.as_examples(self.networks[0].architecture, x)
        shifts = checked_shifts(self.networks[0].architecture, data, shifts)
        choice = choose_backend(backend)
        votes = np.empty((len(self), len(data)), np.int32)
        total = np.zeros((len(data), self.classes))
        for index, network in enumerate(self.networks):
            try:
                state = evaluation.on_device(network.checked_arrays(), choice)
            except IsogradError as error:
                raise type(error)(f"networks[{index}]: {error}") from error
            wanted = ("class", "predicted")
            found = evaluation.predict(network.architecture, data, choice, state, wanted, shifts)
            votes[index] = found["class"]
            total += found["predicted"]
        return Ballot(votes, total / len(self))

    def predict(
        self,
        x: npt.ArrayLike | Dataset,
        vote: Vote = "plurality",
        *,
        backend: str | Backend | None = None,
        shifts: int = 0,
    ) -> npt.NDArray[np.int32]:
        """The class of each example: int32, (n,).

        Parameters
        ----------
        x : array-like (n, *features), or Dataset
            As for `Network.predict`.
        vote : "plurality" or "mean"
            The class of most networks, or the one of the largest mean probability; `Ballot.decision` has the
            formulas, and what decides between equals.
        backend : str or Backend, optional
            As for `isograd.choose_backend`.
        shifts : int
            As for `Network.predict`: each network votes by its mean over the shifts of an image.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If `vote` is neither, x is no such data or does not fit the networks, or shifts is not what
            `Network.predict` takes.
        """
        check_vote(vote)
        return self.ballot(x, backend=backend, shifts=shifts).decision(vote)

    def predict_proba(
        self, x: npt.ArrayLike | Dataset, *, backend: str | Backend | None = None, shifts: int = 0
    ) -> npt.NDArray[np.float64]:
        """The mean of the networks' probabilities of each class: float64, (n, classes). See `predict`."""
        return self.ballot(x, backend=backend, shifts=shifts).probabilities

    def accuracy(
        self, data: Data, vote: Vote = "plurality", *, backend: str | Backend | None = None, shifts: int = 0
    ) -> float:
        """The fraction of a labelled data set that is classified correctly: a count by n. See `predict`."""
        dataset, wrong = self._errors(data, vote, backend, shifts)
        return (len(dataset) - len(wrong)) / len(dataset)

    def errors(
        self, data: Data, vote: Vote = "plurality", *, backend: str | Backend | None = None, shifts: int = 0
    ) -> npt.NDArray[np.int64]:
        """The indices of the examples that are classified wrongly: int64, (k,), ascending. See `predict`."""
        return self._errors(data, vote, backend, shifts)[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all networks to one safetensors file, whole or not at all.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If a layer holds a function without a registered name, or a network has other arrays than its
            layers say.
        FileAccessError
            If the file can not be written.
        """
        ensemble_file.write(path, self.networks)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The ensemble of a file that `save` wrote; its networks have no run to resume.

        Raises
        ------
        FileAccessError
            If the file can not be read.
        FileFormatError
            If it is no such file (one network's is for `Network.load`), is truncated or corrupted or was
            written by a newer isograd, names a function or layer that is not registered here, or its networks
            do not fit together.
        """
        networks = [Network.from_contents(contents) for contents in ensemble_file.read(path)]
        try:
            return cls(networks)
        except ArgumentError as error:
            raise FileFormatError(f"{file_name(path)}: {error}") from error

    def _errors(
        self, data: Data, vote: Vote, backend: str | Backend | None, shifts: int
    ) -> tuple[Dataset, npt.NDArray[np.int64]]:
        check_vote(vote)
        dataset = checked_data(self.networks[0].architecture, data, "data")
        decision = self.ballot(dataset, backend=backend, shifts=shifts).decision(vote)
        return dataset, np.flatnonzero(decision != dataset.labels).astype(np.int64)


def check_vote(vote: object) -> None:
    """Refuse what is no way to vote."""
    if vote not in get_args(Vote):
        raise ArgumentError(f"vote is {vote!r}; expected 'plurality' or 'mean'")


def check_votes(architecture: Architecture) -> None:
    """Refuse a network that can not vote.

    Raises
    ------
    UnsupportedError
        If its cost gives no probabilities of classes.
    """
    if not architecture.cost.probabilities:
        raise UnsupportedError(
            f"the cost {architecture.cost!r} gives no probabilities of classes, which an ensemble needs"
        )


def _checked_networks(networks: Sequence[Network]) -> tuple[Network, ...]:
    if isinstance(networks, Network) or not isinstance(networks, Sequence):
        raise ArgumentTypeError(f"networks is a {type(networks).__name__}; expected a list of networks")
    if not 1 <= len(networks) <= ensemble_file.MOST_NETWORKS:
        raise ArgumentError(
            f"networks has {len(networks):,}; expected 1 to {ensemble_file.MOST_NETWORKS:,} networks"
        )
    for index, network in enumerate(networks):
        if not isinstance(network, Network):
            raise ArgumentTypeError(f"networks[{index}] is {network!r}; expected a Network")
        try:
            check_votes(network.architecture)
        except UnsupportedError as error:
            raise UnsupportedError(f"networks[{index}]: {error}") from error
        for name in ("input_shape", "output_shape"):
            first, found = list(getattr(networks[0], name)), list(getattr(network, name))
            if found != first:
                raise ShapeError(f"networks[{index}] has {name} {found}; networks[0] has {first}")
    return tuple(networks)
