"""The campaign's results: the file that it continues, and the kill table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from isograd.errors import FileFormatError
from isograd_conformance import __version__
from isograd_conformance.faults.campaign import GOOD, Outcome

FORMAT = 1


class Results:
    """Outcomes by their keys, kept in a file from which a later campaign goes on.

    Parameters
    ----------
    path : Path, optional
        Written after each outcome.
    backend, version : str
        The backend's specification and version: outcomes of another one are not mixed with these.

    Raises
    ------
    FileFormatError
        If the file is no such file, or of another backend, version or suite.
    """

    def __init__(self, path: Path | None, backend: str, version: str) -> None:
        self._path = path
        self._head = {"format": FORMAT, "suite": __version__, "backend": backend, "version": version}
        self.outcomes: dict[str, Outcome] = {}
        if path is not None and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            document: Any = json.loads(path.read_text())
            head = {name: document[name] for name in self._head}
            found = [Outcome(**entry) for entry in document["outcomes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"{path} is no file of results: {error!r}") from error
        if head != self._head:
            raise FileFormatError(f"{path} has the results of {head}; expected {self._head}")
        self.outcomes = {outcome.key: outcome for outcome in found}

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome, in the file too."""
        self.outcomes[outcome.key] = outcome
        if self._path is not None:
            document = {**self._head, "outcomes": [asdict(o) for o in self.outcomes.values()]}
            temporary = self._path.with_name(f"{self._path.name}.part")
            temporary.write_text(json.dumps(document, indent=1) + "\n")
            os.replace(temporary, self._path)


def print_tables(outcomes: Iterable[Outcome], console: Console) -> None:
    """What killed how many faults of each kind, how many examples that took, and what went wrong."""
    everything = list(outcomes)
    faults = [o for o in everything if o.kind != "variant" and o.verdict != "unsupported"]
    if faults:
        console.print(_kill_table(faults))
    variants = [o for o in everything if o.kind == "variant" and o.verdict != "unsupported"]
    if variants:
        alarms = sum(o.verdict not in GOOD for o in variants)
        console.print(f"{len(variants)} runs of correct variants, {alarms} false alarms")
    left_out = sum(o.verdict == "unsupported" for o in everything)
    if left_out:
        console.print(f"{left_out} not run: the backend does not declare the dtypes")
    for outcome in everything:
        if outcome.verdict not in GOOD:
            console.print(f"{outcome.verdict}: {outcome.key}", style="bold red", markup=False)
            if outcome.test:
                console.print(f"    {outcome.test}: {outcome.message}", markup=False)


def _kill_table(faults: list[Outcome]) -> Table:
    table = Table("kind", title="Faults", show_footer=False)
    for title in ("faults", "killed", "examples, median", "most", "seconds"):
        table.add_column(title, justify="right")
    table.add_column("killed by")
    for kind in [*dict.fromkeys(o.kind for o in faults), "all"]:
        of_kind = [o for o in faults if kind in (o.kind, "all")]
        killed = [o for o in of_kind if o.verdict == "killed"]
        examples = sorted(o.examples for o in killed) or [0]
        judges = dict.fromkeys(o.judged for o in killed)
        counts = {judge: sum(o.judged == judge for o in killed) for judge in judges}
        ordered = sorted(counts.items(), key=lambda entry: -entry[1])
        table.add_row(
            kind,
            str(len(of_kind)),
            str(len(killed)),
            str(examples[len(examples) // 2]),
            str(examples[-1]),
            f"{sum(o.seconds for o in of_kind):.0f}",
            ", ".join(f"{judge} {count}" for judge, count in ordered),
            end_section=kind != "all" and kind == faults[-1].kind,
        )
    return table
