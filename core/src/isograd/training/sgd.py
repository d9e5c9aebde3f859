"""From the arguments of `Network.SGD` to a run."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from isograd.backend import Backend
from isograd.backend_choice import choose_backend
from isograd.errors import ArgumentError
from isograd.training import checkpoint
from isograd.training.checks import flag, optional_whole
from isograd.training.history import History
from isograd.training.notebook import NotebookProgress, in_notebook
from isograd.training.plan import Plan
from isograd.training.run import Run
from isograd.training.state import TrainingState

if TYPE_CHECKING:
    from isograd.network import Network
    from isograd.training.progress import ProgressBar


def train(
    network: Network,
    plan: Plan,
    backend: str | Backend | None,
    *,
    resume: bool,
    progress: bool | None,
    threads: int | None,
) -> History:
    """Carry out a plan; raises as `Network.SGD` documents."""
    before = _state_to_resume(network, plan) if flag("resume", resume) else None
    shown = _somebody_watches() if progress is None else flag("progress", progress)
    threads = optional_whole("threads", threads, 1)
    if plan.checkpoint is not None:
        checkpoint.prepare(plan.checkpoint, network, plan)
    choice = choose_backend(backend)
    with ExitStack() as stack:
        if threads is not None:
            stack.enter_context(choice.backend.limit_threads(threads))
        if shown:
            plan = replace(plan, callbacks=(*plan.callbacks, stack.enter_context(_bar())))
        return Run(network, plan, choice, before).train()


def _somebody_watches() -> bool:
    # A program without a console has no error stream.
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _bar() -> ProgressBar | NotebookProgress:
    if in_notebook():
        return NotebookProgress()
    from isograd.training.progress import ProgressBar

    return ProgressBar()


def _state_to_resume(network: Network, plan: Plan) -> TrainingState:
    before = network.training
    if before is None:
        raise ArgumentError(
            "resume is True, but the network has no run to go on with; load it from the run's checkpoint"
        )
    plan.check_agreement(before.agreement)
    if before.step >= plan.steps:
        raise ArgumentError(f"the run to resume is at step {before.step} of an epoch of {plan.steps}")
    done = before.epoch + (before.step > 0)
    if plan.epochs < done:
        raise ArgumentError(
            f"epochs is {plan.epochs}; the run to resume is in its epoch number {done} already"
        )
    return before
