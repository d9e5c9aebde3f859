"""`python -m isograd_conformance.faults --backend NAME`: every fault is planted, every variant tried."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from isograd import choose_backend
from isograd.errors import IsogradError
from isograd_conformance.faults.campaign import GOOD, Outcome, Task
from isograd_conformance.faults.catalogue import CONTROL, FAULTS, VARIANTS
from isograd_conformance.faults.report import Results, print_tables
from isograd_conformance.faults.workers import carried_out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; 0 if all faults were killed and no variant raised an alarm, else 1."""
    command = parser()
    given = command.parse_args(arguments)
    try:
        backend, _ = choose_backend(given.backend)
        results = Results(given.resume, given.backend, backend.version)
    except IsogradError as error:
        command.error(str(error))
    wanted = chosen(given)
    if not wanted:
        command.error("nothing is chosen: no name has that part")
    console = Console()
    tasks = [task for task in wanted if task.key not in results.outcomes]
    started = time.perf_counter()
    for number, outcome in enumerate(_outcomes(tasks, given.backend, given.jobs), 1):
        results.add(outcome)
        console.print(f"{number}/{len(tasks)} {_line(outcome)}", markup=False, highlight=False)
        if outcome.key == CONTROL and outcome.verdict not in GOOD:
            console.print(
                "the suite fails without a fault: nothing that it fails on is a kill", style="bold red"
            )
            break
    shown = [results.outcomes[task.key] for task in wanted if task.key in results.outcomes]
    print_tables(shown, console)
    console.print(f"{time.perf_counter() - started:.0f} s")
    return 0 if all(outcome.verdict in GOOD for outcome in shown) else 1


def _outcomes(tasks: Sequence[Task], backend: str, jobs: int) -> Iterator[Outcome]:
    """The control by itself, then all others, as many at once as there are jobs."""
    first = [task for task in tasks if task.key == CONTROL]
    yield from carried_out(first, backend)
    yield from carried_out([task for task in tasks if task.key != CONTROL], backend, jobs=jobs)


def chosen(given: argparse.Namespace) -> list[Task]:
    """The tasks that the command line asks for."""
    seeds: list[int | None] = list(given.seeds) or [None]
    tasks = [] if given.variants_only else [Task(name) for name in FAULTS]
    if not given.faults_only:
        tasks += [Task(name, seed) for seed in seeds for name in VARIANTS]
    if given.tenth is not None:
        # By its place among all names, so that ten successive numbers try everything.
        places = {name: place for place, name in enumerate([*FAULTS, *VARIANTS])}
        tasks = [task for task in tasks if places[task.name] % 10 == given.tenth % 10]
    if given.kind:
        tasks = [task for task in tasks if task.planted.kind in given.kind]
    tasks = [task for task in tasks if given.only in task.name]
    # Before any fault, the suite on a backend that has none.
    control = Task(CONTROL)
    return [control, *(task for task in tasks if task != control)] if tasks else []


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m isograd_conformance.faults", description=__doc__)
    made.add_argument(
        "--backend", required=True, metavar="NAME[:DEVICE]", help="what the faults are put upon"
    )
    made.add_argument("--tenth", type=int, metavar="N", help="only every tenth, beginning with the Nth")
    made.add_argument("--seeds", type=_seeds, default=(), metavar="A-B", help="the variants, with each seed")
    made.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N", help="how many at once; all cores"
    )
    made.add_argument("--only", default="", metavar="TEXT", help="only what has this in its name")
    made.add_argument("--kind", action="append", metavar="KIND", help="only faults of a kind; repeatable")
    made.add_argument("--resume", type=Path, metavar="FILE", help="results, from which a later run goes on")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--variants-only", action="store_true")
    which.add_argument("--faults-only", action="store_true")
    return made


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number, or two with a hyphen") from None


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number of at least 1")
    return int(text)


def _line(outcome: Outcome) -> str:
    by = f" by {outcome.test} after {outcome.examples}" if outcome.test else ""
    return f"{outcome.verdict}: {outcome.key}{by} ({outcome.tests} tests, {outcome.seconds:.1f} s)"


if __name__ == "__main__":
    sys.exit(main())
