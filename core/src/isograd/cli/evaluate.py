"""The command `isograd evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from isograd.cli.folders import data_beside, model_file
from isograd.cli.models import Vote, VoteOption, labelled_ballot, load_model, score
from isograd.cli.options import (
    BackendOption,
    BestOption,
    CheckpointArgument,
    DataOption,
    ShiftsOption,
    Split,
    SplitOption,
)
from isograd.cli.output import JsonOption, percent, print_json, print_text
from isograd.cli.threads import one_thread
from isograd.errors import ArgumentError
from isograd.runs import DataTable

if TYPE_CHECKING:
    from isograd.data import Dataset
    from isograd.ensemble import Ensemble
    from isograd.network import Network


def evaluate(
    checkpoint: CheckpointArgument,
    data: DataOption = None,
    split: SplitOption = Split.test,
    best: BestOption = False,
    vote: VoteOption = None,
    backend: BackendOption = None,
    shifts: ShiftsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure a trained network's accuracy on a data set.

    The cost is the mean of the network's cost, without regularisation, of the images as they are: --shifts is
    for the accuracy. Of an ensemble there are the accuracies of its networks and of their vote.
    """
    from isograd.backend_choice import choose_backend
    from isograd.ensemble import Ensemble

    path = model_file(checkpoint)
    model = load_model(path, best, vote)
    dataset = load_split(data, split, path)
    with one_thread(choose_backend(backend).backend):
        if isinstance(model, Ensemble):
            _evaluate_ensemble(model, dataset, split, vote or Vote.plurality, backend, shifts, as_json)
        else:
            _evaluate_network(model, dataset, split, backend, shifts, as_json)


def _evaluate_network(
    network: Network, dataset: Dataset, split: Split, backend: str | None, shifts: int, as_json: bool
) -> None:
    cost = network.cost(dataset, backend=backend)
    if network.architecture.cost.targets == "values":
        if as_json:
            print_json(split=split.value, examples=len(dataset), cost=cost)
        else:
            print_text(f"cost {cost:.5g} in {len(dataset):,} examples")
        return
    accuracy = network.accuracy(dataset, backend=backend, shifts=shifts)
    errors = round((1 - accuracy) * len(dataset))
    if as_json:
        print_json(
            split=split.value,
            examples=len(dataset),
            shifts=shifts,
            accuracy=accuracy,
            errors=errors,
            cost=cost,
        )
    else:
        print_text(
            f"accuracy {percent(accuracy)} ({errors:,} errors in {len(dataset):,} examples), cost {cost:.4f}"
        )


def _evaluate_ensemble(
    ensemble: Ensemble,
    dataset: Dataset,
    split: Split,
    vote: Vote,
    backend: str | None,
    shifts: int,
    as_json: bool,
) -> None:
    ballot, n = labelled_ballot(ensemble, dataset, backend, shifts), len(dataset)
    networks = [score(votes, dataset) for votes in ballot.votes]
    decision = score(ballot.decision(vote.value), dataset)
    if as_json:
        print_json(
            split=split.value,
            examples=n,
            shifts=shifts,
            vote=vote.value,
            networks=[asdict(one) for one in networks],
            **asdict(decision),
        )
        return
    named = {f"network {index}": one for index, one in enumerate(networks)} | {f"{vote.value} vote": decision}
    for name, one in named.items():
        print_text(f"{name}: accuracy {percent(one.accuracy)} ({one.errors:,} errors in {n:,} examples)")


def load_split(data: str | None, split: Split, checkpoint: Path) -> Dataset:
    """One part of the data that is named, or of the data of the run that wrote the checkpoint.

    Raises
    ------
    ArgumentError
        If neither names any, or the data have no such part.
    """
    from isograd.data import load_dataset

    table = data_beside(checkpoint) if data is None else DataTable.of(data)
    splits = load_dataset(table.source, validation_size=table.validation_size)
    dataset: Dataset | None = getattr(splits, split.value)
    if dataset is None:
        present = [name for name, part in splits._asdict().items() if part is not None]
        raise ArgumentError(f"--split is {split.value}; the data have only {' and '.join(present)}")
    return dataset
