"""A process for each task, watched from outside: a fault may hang, end its process or spoil what is in it."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from isograd_conformance.faults.campaign import Outcome, Task, run

# How long a task may take, many times what the whole suite takes on a slow backend.
SECONDS = 1800.0
# What no task has to import again, where processes can be forked from one that has. No backend is among it: a
# framework that runs threads does not survive being forked.
PRELOADED = ["pytest", "hypothesis", "numpy", "isograd_conformance.faults.campaign"]


def carried_out(tasks: Sequence[Task], specification: str, seconds: float = SECONDS) -> Iterator[Outcome]:
    """The outcome of each task, in order, as it comes.

    Parameters
    ----------
    tasks : sequence of Task
    specification : str
        The backend, "NAME[:DEVICE]".
    seconds : float
        After which a task counts as hanging.

    Raises
    ------
    RuntimeError
        If the campaign itself fails; the message has the trace.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(PRELOADED)
    for task in tasks:
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, task, specification), daemon=True)
        process.start()
        there.close()
        try:
            yield _answer(here, task, seconds)
        finally:
            process.kill()
            process.join()


def _answer(here: Connection, task: Task, seconds: float) -> Outcome:
    try:
        answer: Any = here.recv() if here.poll(seconds) else "timeout"
    except EOFError:
        answer = "crashed"
    if isinstance(answer, Outcome):
        return answer
    if answer not in ("timeout", "crashed"):
        raise RuntimeError(f"{task.key}: {answer}")
    return Outcome(task.key, task.planted.kind, answer)


def _work(there: Connection, task: Task, specification: str) -> None:
    try:
        there.send(run(task, specification))
    except Exception:
        there.send(traceback.format_exc())
