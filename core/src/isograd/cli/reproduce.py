"""The command `isograd reproduce`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isograd.cli.folders import CHECKPOINT, RUNS, write_text
from isograd.cli.jobs import Job, train_all
from isograd.cli.options import BackendOption
from isograd.cli.output import JsonOption, percent, print_json, print_rows
from isograd.cli.threads import one_thread
from isograd.errors import ArgumentError, IsogradError
from isograd.reproduction.experiments import COLLECTIONS, Experiment, find_experiments

if TYPE_CHECKING:
    from isograd.reproduction.results import Report, Result
    from isograd.training import History


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    collection = COLLECTIONS.get(ctx.params.get("collection") or "", ())
    return [e.name for e in collection if e.name.startswith(incomplete)]


def reproduce(
    collection: Annotated[
        str,
        typer.Argument(
            metavar="COLLECTION",
            help=f"{' or '.join(COLLECTIONS)}.",
            autocompletion=lambda incomplete: [c for c in COLLECTIONS if c.startswith(incomplete)],
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Experiments, or groups of them; by default all.", autocompletion=_names
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=1, help="How many runs of each network, with the seeds 0, 1, ...")
    ] = 3,
    epochs_scale: Annotated[
        float, typer.Option(metavar="S", help="Multiply the numbers of epochs; the report says so.")
    ] = 1.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many each run may use; by default 1.")
    ] = None,
    diagnostics: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="EXAMPLES",
            help="Measure gradients, units and overfitting on so many training examples, for the report.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many runs to train at a time.")] = 1,
    backend: BackendOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="By default runs/reproduce-COLLECTION."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the experiments, and do nothing.")] = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing; report on what is trained.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run published experiments again, and put the published figures beside ours.

    Each run has a folder below DIR. What is trained already is not trained again, and what was interrupted
    goes on: the same command, after Ctrl-C or a crash, does the rest. DIR then holds report.html (one page,
    with figures), report.md and report.json.

    As in the chapter, of several runs the one with the best validation accuracy counts.

    Needs matplotlib and Jinja, the extra isograd\\[report].
    """
    experiments = find_experiments(collection, names or [])
    if listed:
        print_rows([_listing(experiment) for experiment in experiments], as_json)
        return
    if not 0 < epochs_scale < float("inf"):
        raise ArgumentError(f"--epochs-scale is {epochs_scale}; expected a finite number above 0")
    settings = _Settings(
        runs, epochs_scale, threads, diagnostics, backend, out or RUNS / f"reproduce-{collection}"
    )
    failed: dict[Path, str] = {}
    interrupted = False
    try:
        if not report_only:
            failed = _train(settings.all_jobs(experiments), jobs, as_json)
    except KeyboardInterrupt:
        interrupted = True
    _show(_report(collection, experiments, settings, failed), settings.out, as_json)
    if interrupted:
        typer.echo("interrupted; the same command goes on", err=True)
        raise typer.Exit(130)
    if failed:
        raise IsogradError(f"{len(failed)} runs failed: {next(iter(failed.values()))}")


@dataclass(frozen=True)
class _Settings:
    runs: int
    epochs_scale: float
    threads: int | None
    diagnostics: int | None
    backend: str | None
    out: Path

    def jobs(self, experiment: Experiment) -> list[Job]:
        """The runs of an experiment, by seed."""
        chosen = {
            "backend": self.backend,
            "threads": self.threads,
            "training.diagnostics": self.diagnostics,
        }
        return [
            Job(
                experiment.run(seed, self.epochs_scale).override(chosen),
                self.out / experiment.folder / f"seed-{seed}",
            )
            for seed in range(experiment.members or self.runs)
        ]

    def all_jobs(self, experiments: Sequence[Experiment]) -> list[Job]:
        """The runs of all experiments, each once."""
        return list({job.folder: job for e in experiments for job in self.jobs(e)}.values())


def _listing(experiment: Experiment) -> dict[str, Any]:
    run = experiment.run(0)
    return {
        "name": experiment.name,
        "group": experiment.group or None,
        "summary": experiment.summary,
        "preset": experiment.preset,
        "epochs": run.training.epochs,
        "networks": experiment.members or None,
        "reported": experiment.reported,
    }


def _train(jobs: Sequence[Job], workers: int, as_json: bool) -> dict[Path, str]:
    """Train what is not trained yet; by folder, what failed."""

    def told(job: Job, event: Mapping[str, Any]) -> None:
        if as_json:
            print_json(folder=str(job.folder), **event)
            return
        name = f"{job.folder.parent.name}, {job.folder.name}"
        if event["event"] == "epoch":
            accuracy = event["validation_accuracy"]
            shown = "" if accuracy is None else f": validation {percent(accuracy)}"
            print(f"{name}, epoch {event['epoch']} of {job.run.training.epochs}{shown}", flush=True)
        elif event["event"] == "end" and event.get("test_accuracy") is not None:
            print(f"{name}: test {percent(event['test_accuracy'])}", flush=True)

    outcomes = train_all(jobs, workers, told)
    return {outcome.job.folder: outcome.error for outcome in outcomes if outcome.error}


def _report(
    collection: str, experiments: Sequence[Experiment], settings: _Settings, failed: Mapping[Path, str]
) -> Report:
    """Gather what is trained, and write the three files of the report."""
    from isograd.backend_choice import choose_backend
    from isograd.reproduction import report as texts
    from isograd.reproduction.gather import make_report
    from isograd.reproduction.pictures import draw, draw_group

    with one_thread(choose_backend(settings.backend).backend):
        results = [_result(experiment, settings, failed) for experiment in experiments]
    report = make_report(collection, results)
    settings.out.mkdir(parents=True, exist_ok=True)
    write_text(settings.out / "report.json", texts.to_json(report))
    write_text(settings.out / "report.md", texts.to_markdown(report))
    pictures = {
        result.experiment.name: draw(result, _chosen_checkpoint(result, settings)) for result in results
    }
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.experiment.group:
            groups.setdefault(result.experiment.group, []).append(result)
    drawn = {name: draw_group(members) for name, members in groups.items() if len(members) > 1}
    write_text(settings.out / "report.html", texts.to_html(report, pictures, drawn))
    return report


def _result(experiment: Experiment, settings: _Settings, failed: Mapping[Path, str]) -> Result:
    from isograd.reproduction.gather import gather

    jobs = settings.jobs(experiment)
    finished: dict[int, tuple[History, Path]] = {}
    for job in jobs:
        history = job.history()
        if history is not None:
            finished[job.run.seed] = (history, job.folder / CHECKPOINT)
    run = jobs[0].run
    return gather(
        experiment,
        run,
        run.training.epochs != experiment.run(0).training.epochs,
        len(jobs),
        finished,
        {job.run.seed: failed[job.folder] for job in jobs if job.folder in failed},
        settings.backend,
    )


def _chosen_checkpoint(result: Result, settings: _Settings) -> Path | None:
    if result.chosen is None:
        return None
    return settings.out / result.experiment.folder / f"seed-{result.chosen.seed}" / CHECKPOINT


def _show(report: Report, out: Path, as_json: bool) -> None:
    from isograd.reproduction.report import HEADINGS, row

    if as_json:
        for result in report.results:
            keys = ("accuracy", "difference", "mean", "extent")
            found = {key: value for key, value in result.to_data().items() if key in keys}
            print_json(event="result", experiment=result.experiment.name, **found)
        print_json(event="report", file=str(out / "report.html"))
        return
    print()
    print_rows([dict(zip(HEADINGS, row(result), strict=True)) for result in report.results], as_json)
    print(f"\nreport: {out / 'report.html'}")
