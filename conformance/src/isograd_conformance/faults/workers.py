"""A process for each task, watched from outside: a fault may hang, end its process or spoil what is in it."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from isograd_conformance.faults.campaign import Outcome, Task, run

# How long a task may take, many times what the whole suite takes on a slow backend.
SECONDS = 1800.0
# What no task has to import again, where processes can be forked from one that has. No backend is among it: a
# framework that runs threads does not survive being forked.
PRELOADED = ["pytest", "hypothesis", "numpy", "isograd_conformance.faults.campaign"]


class _Running(NamedTuple):
    """A task under way in a process of its own."""

    task: Task
    process: BaseProcess
    end: float


def carried_out(
    tasks: Sequence[Task], specification: str, seconds: float = SECONDS, jobs: int = 1
) -> Iterator[Outcome]:
    """The outcome of each task, as it comes.

    Parameters
    ----------
    tasks : sequence of Task
    specification : str
        The backend, "NAME[:DEVICE]".
    seconds : float
        After which a task counts as hanging.
    jobs : int
        How many tasks run at once; their outcomes are in order only with one.

    Raises
    ------
    RuntimeError
        If the campaign itself fails; the message has the trace.
    """
    context = _context()
    waiting, running = list(reversed(tasks)), dict[Connection, _Running]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                here, there = context.Pipe()
                process = context.Process(target=_work, args=(there, task, specification), daemon=True)
                process.start()
                there.close()
                running[here] = _Running(task, process, time.monotonic() + seconds)
            first = min(each.end for each in running.values())
            ready = wait(list(running), max(first - time.monotonic(), 0))
            over = [here for here, each in running.items() if each.end <= time.monotonic()]
            for here in dict.fromkeys([*ready, *over]):
                assert isinstance(here, Connection)
                yield _outcome(here, running.pop(here), here in ready)
    finally:
        for each in running.values():
            _end(each.process)


def _context() -> Any:
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(PRELOADED)
    return context


def _outcome(here: Connection, running: _Running, answered: bool) -> Outcome:
    task = running.task
    try:
        answer: Any = here.recv() if answered else "timeout"
    except EOFError:
        answer = "crashed"
    _end(running.process)
    if isinstance(answer, Outcome):
        return answer
    if answer not in ("timeout", "crashed"):
        raise RuntimeError(f"{task.key}: {answer}")
    return Outcome(task.key, task.planted.kind, answer)


def _end(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _work(there: Connection, task: Task, specification: str) -> None:
    try:
        there.send(run(task, specification))
    except Exception:
        there.send(traceback.format_exc())
