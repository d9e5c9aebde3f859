"""Reports as text: JSON, Markdown, and one self-contained HTML page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from isograd import pages
from isograd.cli.output import plain_data
from isograd.reproduction.results import TOLERATED, Report, Result, Trained

if TYPE_CHECKING:
    from isograd.ensemble import Vote
    from isograd.reproduction.pictures import Picture

HEADINGS = (
    "experiment", "what", "ours (%)", "reported (%)", "difference", "runs", "extent", "seconds", "backend",
)  # fmt: skip


def to_json(report: Report) -> str:
    """All numbers of a report, the histories of the runs among them."""
    return json.dumps(plain_data(report.to_data()), allow_nan=False, indent=1) + "\n"


def to_markdown(report: Report) -> str:
    """The table of a report, and a table of each experiment's runs."""
    lines = [f"# {report.collection}: experiments run again", "", _provenance(report), ""]
    lines += _table(HEADINGS, [row(result) for result in report.results])
    for result in report.results:
        lines += ["", f"## {result.experiment.name}", "", sentence(result)]
        if result.runs:
            lines += ["", *_table(RUN_HEADINGS, [run_row(run) for run in result.runs])]
        for seed, error in result.failed.items():
            said = " ".join(error.split()).replace("`", "'")
            lines += ["", f"Seed {seed} failed: `{said}`"]
    return "\n".join(lines) + "\n"


def to_html(
    report: Report, pictures: Mapping[str, Sequence[Picture]], groups: Mapping[str, Sequence[Picture]]
) -> str:
    """One page with everything in it.

    Parameters
    ----------
    report : Report
    pictures, groups : mapping of str to sequence of Picture
        By the name of an experiment, and by that of a group.
    """
    return pages.render(
        "isograd",
        "reproduction.html.jinja",
        report=report,
        provenance=_provenance(report),
        tolerated=TOLERATED,
        headings=HEADINGS,
        rows=[(result, row(result)) for result in report.results],
        run_headings=RUN_HEADINGS,
        run_row=run_row,
        sentence=sentence,
        pictures=pictures,
        groups=groups,
        uri=_uri,
    )


def row(result: Result) -> tuple[str, ...]:
    """The cells of a result under `HEADINGS`."""
    experiment = result.experiment
    difference = "" if result.difference is None else f"{result.difference:+.2f}"
    seconds = sum(run.seconds for run in result.runs)
    return (
        experiment.name,
        experiment.summary,
        _percent(result.accuracy),
        "" if experiment.reported is None else f"{experiment.reported:.2f}",
        difference,
        f"{len(result.runs)} of {result.wanted}",
        result.extent,
        f"{seconds:,.0f}",
        ", ".join(dict.fromkeys(run.backend for run in result.runs)),
    )


RUN_HEADINGS = ("seed", "epoch", "validation (%)", "test (%)", "seconds")


def run_row(run: Trained) -> tuple[str, ...]:
    """The cells of a run under `RUN_HEADINGS`."""
    epoch = "" if run.epoch is None else str(run.epoch)
    return str(run.seed), epoch, _percent(run.validation), _percent(run.test), f"{run.seconds:,.0f}"


_VOTES: Mapping[Vote, str] = {"plurality": "plurality", "mean": "the mean of the probabilities"}


def sentence(result: Result) -> str:
    """What the figure of a result is."""
    experiment, chosen = result.experiment, result.chosen
    if result.votes is not None:
        shifts = f" with shifts={experiment.shifts}" if experiment.shifts else ""
        counting: Vote = experiment.vote
        (other,) = _VOTES.keys() - {counting}
        return (
            f"{len(result.runs)} networks{shifts}: by {_VOTES[counting]} "
            f"{_percent(result.votes.test[counting])} % of the test images are right "
            f"({len(result.mistakes)} errors), by {_VOTES[other]} {_percent(result.votes.test[other])} %."
        )
    if chosen is None or experiment.members:
        return f"{len(result.runs)} of {result.wanted} runs are finished."
    if experiment.figure == "mean":
        return (
            f"The mean of {_runs(result)} with a fixed number of epochs, each tested once, is "
            f"{_percent(result.mean)} %."
        )
    return (
        f"Of {_runs(result)}, that of seed {chosen.seed} has the best validation accuracy; its test "
        f"accuracy in epoch {chosen.epoch} is {_percent(chosen.test)} %. The mean of all is "
        f"{_percent(result.mean)} %."
    )


def _runs(result: Result) -> str:
    return f"{len(result.runs)} run{'s' if len(result.runs) > 1 else ''}"


def _provenance(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{report.date}; {versions}."


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return lines + [f"| {' | '.join(map(_cell, cells))} |" for cells in rows]


def _cell(text: str) -> str:
    """A text on one line, whose bars and tags are no markup."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode('ascii')}"
