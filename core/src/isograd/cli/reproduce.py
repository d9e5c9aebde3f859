"""The command `isograd reproduce`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isograd.cli.folders import CHECKPOINT, RUNS, made, write_text
from isograd.cli.jobs import Job, train_all
from isograd.cli.options import BackendOption
from isograd.cli.output import JsonOption, percent, print_json, print_rows, print_text
from isograd.cli.threads import one_thread
from isograd.errors import ArgumentError, IsogradError, UnsupportedError
from isograd.reproduction.experiments import COLLECTIONS, Experiment, find_experiments

if TYPE_CHECKING:
    from isograd.reproduction.results import Report, Result
    from isograd.training import History

# What the report is made with: its name, and the module.
_TOOLS = {"matplotlib": "matplotlib", "Jinja": "jinja2"}


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

    As in the chapter, of several runs the one with the best validation accuracy counts; of mnist, whose
    networks are tested once, the mean.

    The exit code is 1 if a run failed; the others are trained and in the report.

    Needs matplotlib and Jinja, the extra isograd\\[report].
    """
    experiments = find_experiments(collection, names or [])
    if listed:
        print_rows([_listing(experiment) for experiment in experiments], as_json)
        return
    settings = _Settings(
        runs, epochs_scale, threads, diagnostics, backend, out or RUNS / f"reproduce-{collection}"
    )
    asked = settings.all_jobs(experiments)
    _check_tools(backend)
    failed: dict[Path, str] = {}
    interrupted = False
    if report_only:
        if all(job.history() is None for job in asked):
            raise ArgumentError(f"--report-only: none of these runs is finished in {settings.out}")
    else:
        try:
            failed = _train(asked, jobs, as_json)
        except KeyboardInterrupt:
            interrupted = True
            typer.echo(
                "interrupted; the same command goes on. Reporting on what is finished, which Ctrl-C ends too",
                err=True,
            )
    _show(_report(collection, experiments, settings, failed), settings.out, as_json)
    if interrupted:
        raise typer.Exit(130)
    if failed:
        runs_failed = f"{len(failed)} of {len(asked)} runs failed, which the same command tries again"
        raise IsogradError(f"{runs_failed}: " + "; ".join(f"{f}: {error}" for f, error in failed.items()))


@dataclass(frozen=True)
class _Settings:
    runs: int
    epochs_scale: float
    threads: int | None
    diagnostics: int | None
    backend: str | None
    out: Path

    def folder(self, experiment: Experiment, seed: int) -> Path:
        """Where a run lies."""
        return self.out / experiment.folder / f"seed-{seed}"

    def jobs(self, experiment: Experiment) -> list[Job]:
        """The runs of an experiment, by seed."""
        chosen = {
            "backend": self.backend,
            "threads": self.threads,
            "training.diagnostics": self.diagnostics,
        }
        return [
            Job(experiment.run(seed, self.epochs_scale).override(chosen), self.folder(experiment, seed))
            for seed in range(experiment.members or self.runs)
        ]

    def all_jobs(self, experiments: Sequence[Experiment]) -> list[Job]:
        """The runs of all experiments, each once."""
        return list({job.folder: job for e in experiments for job in self.jobs(e)}.values())


def _check_tools(backend: str | None) -> None:
    """Raise now, not after hours of training, if the report could not be written.

    Raises
    ------
    ArgumentError, UnsupportedError
        If the backend can not be chosen, or what draws and writes is not installed.
    """
    from isograd.backend_choice import choose_backend

    missing = [name for name, module in _TOOLS.items() if find_spec(module) is None]
    if missing:
        raise UnsupportedError(
            f'the report needs {" and ".join(missing)}, not installed: pip install "isograd[report]"'
        )
    choose_backend(backend)


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
            print_json(**{**event, "folder": str(job.folder)})  # that of the start is the same
            return
        name = f"{job.folder.parent.name}, {job.folder.name}"
        if event["event"] == "epoch":
            accuracy = event["validation_accuracy"]
            shown = "" if accuracy is None else f": validation {percent(accuracy)}"
            print_text(f"{name}, epoch {event['epoch']} of {job.run.training.epochs}{shown}")
        elif event["event"] == "end" and event.get("test_accuracy") is not None:
            print_text(f"{name}: test {percent(event['test_accuracy'])}")

    failed = {
        outcome.job.folder: outcome.error for outcome in train_all(jobs, workers, told) if outcome.error
    }
    if as_json:
        for folder, error in failed.items():
            print_json(folder=str(folder), event="failed", error=error)
    return failed


def _report(
    collection: str, experiments: Sequence[Experiment], settings: _Settings, failed: Mapping[Path, str]
) -> Report:
    """Gather what is trained, and write the three files of the report; all are made before one is written."""
    from isograd.backend_choice import choose_backend
    from isograd.reproduction import report as texts
    from isograd.reproduction.gather import make_report
    from isograd.reproduction.pictures import draw, draw_group

    with one_thread(choose_backend(settings.backend).backend):
        results = [_result(experiment, settings, failed) for experiment in experiments]
    report = make_report(collection, results)
    pictures = {
        result.experiment.name: draw(result, _chosen_checkpoint(result, settings)) for result in results
    }
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.experiment.group:
            groups.setdefault(result.experiment.group, []).append(result)
    drawn = {name: draw_group(members) for name, members in groups.items() if len(members) > 1}
    files = {
        "report.json": texts.to_json(report),
        "report.md": texts.to_markdown(report),
        "report.html": texts.to_html(report, pictures, drawn),
    }
    made(settings.out)
    for name, text in files.items():
        write_text(settings.out / name, text)
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
    return settings.folder(result.experiment, result.chosen.seed) / CHECKPOINT


def _show(report: Report, out: Path, as_json: bool) -> None:
    from isograd.reproduction.report import HEADINGS, row

    if as_json:
        for result in report.results:
            print_json(
                event="result",
                experiment=result.experiment.name,
                accuracy=result.accuracy,
                reported=result.experiment.reported,
                difference=result.difference,
                verdict=result.verdict,
                mean=result.mean,
                runs=len(result.runs),
                wanted=result.wanted,
                extent=result.extent,
            )
        print_json(event="report", file=str(out / "report.html"))
        return
    print_text()
    print_rows([dict(zip(HEADINGS, row(result), strict=True)) for result in report.results], as_json)
    print_text(f"\nreport: {out / 'report.html'}")
