"""The command `isograd ensemble`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isograd.cli.folders import (
    CHECKPOINT,
    ENSEMBLE,
    FIRST_MEMBER,
    made,
    new_folder,
    run_to_resume,
    write_text,
)
from isograd.cli.jobs import Job, cores, train_all
from isograd.cli.models import Score, Vote, labelled_ballot, score
from isograd.cli.options import BackendOption, DataOption, RunArgument
from isograd.cli.output import JsonOption, percent, print_json, print_rows, print_text
from isograd.cli.threads import one_thread
from isograd.errors import IsogradError
from isograd.runs import RUN_FILE, DataTable, RunFile, find_run

if TYPE_CHECKING:
    from isograd.data import Dataset
    from isograd.ensemble import Ballot, Ensemble
    from isograd.training import History

MEMBERS = 5
# As `Ensemble` has it, which is not imported to show the help.
_MOST_MEMBERS = 1000
# Of the examples that the vote gets wrong, so many are listed.
_LISTED = 100


def ensemble(
    run: RunArgument,
    members: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST_MEMBERS,
            help=f"How many networks; by default {MEMBERS}, with --resume as many as there are.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many to train at a time; by default one a processor core.")
    ] = None,
    vote: Annotated[
        Vote, typer.Option(help="Whose errors to list: those of the class of most networks, or of the mean.")
    ] = Vote.plurality,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the first; the others follow.", envvar="ISOGRAD_SEED")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="How many epochs each.")] = None,
    backend: BackendOption = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="The ensemble's folder; by default runs/NAME-ensemble, or the next free of "
            "runs/NAME-ensemble-2, ...",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the ensemble in its folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train several networks of one run, and let them vote.

    Each has a seed of its own, and is trained by `isograd train` in a process of its own. The folder then
    holds run.toml, member-0, member-1, ... (the runs) and ensemble.safetensors, which isograd evaluate,
    predict and plot take. The accuracies of all and of both votes are shown, and which examples of the test
    data the vote gets wrong.

    Ctrl-C leaves a checkpoint of each network (exit code 130); --resume goes on from there. It also adds
    networks to an ensemble, with --members.
    """
    from isograd.backend_choice import choose_backend
    from isograd.data import load_dataset
    from isograd.ensemble import check_votes

    base, folder = run_to_resume(run, out, "-ensemble", FIRST_MEMBER) if resume else (find_run(run), None)
    choice = choose_backend(backend or (base.backend if resume else None), base.backend)
    base = base.override(
        {
            "seed": seed,
            "training.epochs": epochs,
            "data": data and DataTable.of(data),
            "backend": f"{choice.backend.name}:{choice.device}",
        }
    )
    architecture = base.architecture()
    check_votes(architecture)
    splits = load_dataset(base.data.source, validation_size=base.data.validation_size)
    with nullcontext(folder) if folder else new_folder(f"{base.name}-ensemble", out) as folder:
        jobs_asked = _jobs(base, folder, members or (_present(folder) if resume else MEMBERS))
        if not as_json:
            print_text(architecture.summary())
            print_text(f"\n{len(jobs_asked)} networks of {base.name} on {base.backend}, to {folder}")
        histories = _train(jobs_asked, folder, jobs or cores(), as_json)
    voters = _joined(jobs_asked)
    voters.save(folder / ENSEMBLE)
    with one_thread(choice.backend):
        parts = {
            name: _Part(part, labelled_ballot(voters, part, base.backend))
            for name, part in (("validation", splits.validation), ("test", splits.test))
            if part is not None
        }
    _report(jobs_asked, histories, folder, parts, vote, as_json)


def _present(folder: Path) -> int:
    """How many networks an ensemble's folder is for."""
    return next(index for index in count() if not _member(folder, index).exists())


def _member(folder: Path, index: int) -> Path:
    return folder / f"member-{index}"


def _jobs(base: RunFile, folder: Path, members: int) -> list[Job]:
    """The runs of the networks. The folder has a place for each from now on, and the run of the first.

    Raises
    ------
    ArgumentError
        If one of the places holds a run with other settings, or a seed is too large; nothing has changed
        then.
    FileAccessError, FileFormatError
        If the folder can not be used.
    """
    from isograd.training.checks import checked_seed

    checked_seed(base.seed + members - 1)
    jobs = [
        Job(base.override({"seed": base.seed + index}), _member(folder, index)) for index in range(members)
    ]
    for job in jobs:
        job.history()
    write_text(folder / RUN_FILE, base.to_toml())
    for job in jobs:
        made(job.folder)
    return jobs


def _train(jobs: Sequence[Job], folder: Path, workers: int, as_json: bool) -> list[History]:
    """Train all networks; their histories.

    Raises
    ------
    IsogradError
        If some could not be trained, when the others are.
    """

    def told(job: Job, event: Mapping[str, Any]) -> None:
        if as_json:
            print_json(network=job.folder.name, **event)
        elif event["event"] == "epoch":
            print_text(_line(job.folder.name, event))

    resume = f"`isograd ensemble {shlex.quote(str(folder))} --resume`"
    try:
        outcomes = train_all(jobs, workers, told)
    except KeyboardInterrupt as interrupt:
        typer.echo(f"interrupted; {resume} goes on", err=True)
        raise typer.Exit(130) from interrupt
    failed = [f"{outcome.job.folder.name}: {outcome.error}" for outcome in outcomes if outcome.error]
    if failed:
        raise IsogradError(
            f"{len(failed)} of {len(jobs)} networks could not be trained, which {resume} tries again: "
            + "; ".join(failed)
        )
    return [outcome.history for outcome in outcomes if outcome.history is not None]


def _line(network: str, epoch: Mapping[str, Any]) -> str:
    parts = [f"{network}, epoch {epoch['epoch']}: cost {float(epoch['cost']):.5g}"]
    for name in ("validation", "test"):
        accuracy = epoch[f"{name}_accuracy"]
        parts += [] if accuracy is None else [f"{name} {percent(accuracy)}"]
    return ", ".join(parts)


def _joined(jobs: Sequence[Job]) -> Ensemble:
    """The trained networks, each of the epoch that counts."""
    from isograd.ensemble import Ensemble

    return Ensemble([job.run.trained_network(job.folder / CHECKPOINT) for job in jobs])


@dataclass(frozen=True)
class _Part:
    """Part of the data, and what the networks say of it."""

    data: Dataset
    ballot: Ballot


def _report(
    jobs: Sequence[Job],
    histories: Sequence[History],
    folder: Path,
    parts: Mapping[str, _Part],
    vote: Vote,
    as_json: bool,
) -> None:
    """Print the accuracies of the networks and of both votes, and the errors of one of these."""
    networks: list[dict[str, Any]] = [
        {
            "network": job.folder.name,
            "seed": job.run.seed,
            "epoch": len(history.epochs) - 1 if job.run.training.tested == "last" else history.best_epoch,
            **{name: score(part.ballot.votes[index], part.data) for name, part in parts.items()},
        }
        for index, (job, history) in enumerate(zip(jobs, histories, strict=True))
    ]
    votes: dict[str, dict[str, Any]] = {
        way.value: {name: score(part.ballot.decision(way.value), part.data) for name, part in parts.items()}
        for way in Vote
    }
    split, wrong = _wrong(parts, vote)
    file = str(folder / ENSEMBLE)
    if as_json:
        print_json(
            event="ensemble",
            file=file,
            networks=[_plain(row) for row in networks],
            votes={way: _plain(row) for way, row in votes.items()},
            vote=vote.value,
            split=split,
            wrong=wrong[:_LISTED],
        )
        return
    print_text()
    decided = [{"network": f"{way} vote", "seed": None, "epoch": None, **row} for way, row in votes.items()]
    print_rows([_cells(row) for row in (*networks, *decided)], as_json)
    if wrong:
        print_text(f"\nwhere the {vote.value} vote is wrong on the {split} data, index: right -> given")
    for one in wrong[:_LISTED]:
        print_text(f"{one['index']}: {one['label']} -> {one['class']}")
    if len(wrong) > _LISTED:
        print_text(f"and {len(wrong) - _LISTED:,} more")
    print_text(f"\nensemble: {file}")


def _wrong(parts: Mapping[str, _Part], vote: Vote) -> tuple[str | None, list[dict[str, Any]]]:
    """The last part's name, and its examples with a wrong class: "index", "label" and "class"."""
    if not parts:
        return None, []
    name, part = list(parts.items())[-1]
    given, right = part.ballot.decision(vote.value), part.data.labels
    return name, [
        {
            "index": index,
            "label": part.data.class_name(int(right[index])),
            "class": part.data.class_name(int(given[index])),
        }
        for index in (given != right).nonzero()[0].tolist()
    ]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asdict(value) if isinstance(value, Score) else value for name, value in row.items()}


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: of a score its accuracy, and its errors in a column of their own."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Score):
            cells |= {name: percent(value.accuracy), f"{name} errors": value.errors}
        else:
            cells[name] = None if value is None else str(value)
    return cells
