"""The training loop."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from isograd.backend import Array, Executable
from isograd.backend_choice import BackendChoice
from isograd.compilation import compile_cached, compiled_functions
from isograd.data import Dataset
from isograd.errors import ArgumentError
from isograd.evaluation import Evaluator, mean_cost, on_device
from isograd.training import checkpoint
from isograd.training.callbacks import Progress, any_stop, chunk_ends, measurements
from isograd.training.checks import checked_path
from isograd.training.diagnosis import FailedChunk, diagnose
from isograd.training.draws import Chunk, draw, epoch_order, steps_that_fit
from isograd.training.history import EpochRecord, History, Stopped, epoch_line
from isograd.training.interrupts import DeferredInterrupt
from isograd.training.plan import Plan
from isograd.training.state import (
    Arrays,
    TrainingState,
    all_finite,
    average_shapes,
    evaluated,
    velocity_shapes,
)
from isograd.training.step import (
    AVERAGE,
    NativeStep,
    StepGraph,
    execution,
    gradient_function,
    run_steps,
    step_function,
    step_graph,
    update_function,
)

if TYPE_CHECKING:
    from isograd.network import Network

logger = logging.getLogger(__name__)

Hook = Literal["on_start", "on_chunk"]


class Run:
    """One call of `Network.SGD`. Making it compiles and moves data, and changes nothing of the network.

    Parameters
    ----------
    network : Network
    plan : Plan
    choice : BackendChoice
    before : TrainingState, optional
        Where to go on; None begins with the network's parameters.
    """

    def __init__(
        self, network: Network, plan: Plan, choice: BackendChoice, before: TrainingState | None
    ) -> None:
        self._network = network
        self._plan = plan
        self._choice = choice
        self._backend, self._device = choice
        self._graphs: dict[int, StepGraph] = {}
        self._steps: dict[int, Executable] = {}
        made = None if plan.images is None else plan.images.dtype
        for rows in {plan.mini_batch_size, plan.last_rows} - {0}:
            self._graphs[rows] = step_graph(network.architecture, plan.base, rows, plan.options, made)
            self._steps[rows] = _compile(self._graphs[rows], plan.gradient, choice)
        of_classes = network.architecture.cost.targets == "classes"
        evaluated_outputs = ("class", "cost") if of_classes else ("cost",)
        self._evaluators = {
            name: Evaluator(network.architecture, data, choice, evaluated_outputs)
            for name, data in plan.data.items()
            if isinstance(data, Dataset) and name != "training_data"
        }
        resident = plan.base.arrays()
        if plan.images is not None:
            del resident["inputs"]
        self._resident = self._move(resident)
        self._now = self._first_state() if before is None else self._next_state(before)
        self._state = self._move(self._now.arrays)
        self._ends = chunk_ends(plan.callbacks, plan.steps, plan.full_steps)
        self._left = plan.max_steps
        self._drawn: _Epoch | None = None
        if self._now.epoch < plan.epochs:
            self._epoch()  # checks eta while nothing has changed yet

    def _first_state(self) -> TrainingState:
        network, plan = self._network, self._plan
        shapes = velocity_shapes(network.architecture, plan.momentum)
        velocities = {name: np.zeros(shape, network.dtype) for name, shape in shapes.items()}
        arrays = {name: array.copy() for name, array in network.checked_arrays().items()}
        averages = {
            name: arrays[name.removeprefix(AVERAGE)].copy()
            for name in average_shapes(network.architecture, plan.averaging)
        }
        return TrainingState(
            epoch=0,
            step=0,
            cost_sum=0.0,
            seconds=0.0,
            arrays=arrays | velocities | averages,
            best=None,
            history=History(),
            agreement=plan.agreement,
            backend=self._provenance(),
        )

    def _next_state(self, before: TrainingState) -> TrainingState:
        history = History(list(before.history.epochs))
        return replace(before, history=history, agreement=self._plan.agreement, backend=self._provenance())

    def _provenance(self) -> dict[str, str]:
        backend, step = self._backend, self._steps[self._plan.mini_batch_size]
        return {
            "name": backend.name,
            "version": backend.version,
            "device": self._device,
            "execution": execution(backend, step),
        }

    def train(self) -> History:
        """Run to the end, or to where something stops it."""
        network, now = self._network, self._now
        network.training = None
        network.adopt(evaluated(network.architecture, now.arrays))
        logger.info(
            "training on %s from epoch %d of %d, step %d of %d",
            *(self._backend.name, now.epoch, self._plan.epochs, now.step, self._plan.steps),
        )
        with DeferredInterrupt() as interrupt:
            asked = self._tell("on_start", 0.0)
            now.history.stopped = self._reason(asked, interrupt)
            while now.history.stopped is None:
                asked = self._run_chunk()
                now.history.stopped = self._reason(asked, interrupt)
                if now.history.stopped is None and self._checkpoint_due():
                    self._save()
            self._save()
        network.training = now
        logger.info("stopped: %s", now.history.stopped)
        if now.history.stopped in ("interrupted", "early stopping") and now.best is not None:
            network.adopt(now.best)
        return History(list(now.history.epochs), now.history.stopped)

    def _reason(self, asked: bool, interrupt: DeferredInterrupt) -> Stopped | None:
        """Why the run ends here, if it does."""
        patience = self._plan.early_stopping
        if interrupt.take():
            return "interrupted"
        if self._now.epoch >= self._plan.epochs:
            return "completed"
        if patience is not None and self._now.history.epochs_without_improvement >= patience:
            return "early stopping"
        if asked:
            return "callback"
        return "max_steps" if self._left == 0 else None

    def _run_chunk(self) -> bool:
        """One chunk of steps and, after an epoch's last, its evaluation; whether a callback asks to stop."""
        now = self._now
        chunk = self._next_chunk()
        started = time.perf_counter()
        outputs, state = run_steps(
            self._backend,
            self._steps[chunk.rows],
            self._state,
            self._resident,
            self._draws(chunk),
            chunk.steps,
        )
        # A copy: what the backend hands out may share memory with its own.
        arrays = {name: np.array(self._backend.to_host(array)) for name, array in state.items()}
        seconds = time.perf_counter() - started
        if not all_finite(outputs) or not all_finite(arrays):
            raise diagnose(self._failed(chunk, outputs))
        self._state, now.arrays = state, arrays
        now.step += chunk.steps
        now.seconds += seconds
        # One after the other, so that where the chunk ends does not change the last bit.
        for cost in outputs["cost"].tolist():
            now.cost_sum += cost
        if self._left is not None:
            self._left -= chunk.steps
        self._network.adopt(evaluated(self._network.architecture, arrays))
        logger.debug(
            "epoch %d: steps %d to %d of %d in %.3f s, cost %.6g",
            *(now.epoch, chunk.first_step, now.step, self._plan.steps, seconds, mean_cost(outputs["cost"])),
        )
        asked = self._tell("on_chunk", mean_cost(outputs["cost"]))
        if now.step == self._plan.steps:
            asked = self._finish_epoch(mean_cost(outputs["cost"])) or asked
        return asked

    def _next_chunk(self) -> Chunk:
        """The steps up to the end of the epoch, or to where something else is due."""
        now, plan = self._now, self._plan
        if now.step == plan.full_steps:
            return Chunk(now.epoch, now.step, 1, plan.last_rows)
        rows = plan.mini_batch_size
        limits = [plan.full_steps - now.step, steps_that_fit(self._network.architecture, rows, plan.images)]
        periods = (plan.checkpoint_every, *(callback.every for callback in plan.callbacks))
        limits += [every - self._steps_done % every for every in periods if every is not None]
        limits += [end - now.step for end in self._ends if end > now.step]
        if self._left is not None:
            limits.append(self._left)
        return Chunk(now.epoch, now.step, min(limits), rows)

    @property
    def _steps_done(self) -> int:
        return self._now.epoch * self._plan.steps + self._now.step

    def _draws(self, chunk: Chunk) -> dict[str, Array]:
        """The chunk's rows, images, masks and learning rate, on the device."""
        network, plan, epoch = self._network, self._plan, self._epoch()
        etas = epoch.etas[chunk.first_step : chunk.first_step + chunk.steps]
        return self._move(
            draw(
                network.architecture,
                network.seed,
                chunk,
                epoch.order,
                plan.mini_batch_size,
                etas,
                plan.images,
            )
        )

    def _epoch(self) -> _Epoch:
        """The order and the learning rates of the present epoch."""
        number, plan = self._now.epoch, self._plan
        if self._drawn is None or self._drawn.number != number:
            self._drawn = _Epoch(number, plan.etas_in(number), self._network.seed, plan)
        return self._drawn

    def _finish_epoch(self, cost: float) -> bool:
        """Evaluate, record and report the epoch; `cost` is the mean over its last chunk."""
        now, plan = self._now, self._plan
        measured = measurements(plan.callbacks, self._progress(cost))
        accuracy, validation_cost = self._evaluate("validation_data")
        validated = EpochRecord(
            epoch=now.epoch,
            cost=now.cost_sum / plan.steps,
            eta=float(self._epoch().etas[0]),
            seconds=now.seconds,
            images_per_second=_rate(plan.examples, now.seconds),
            validation_accuracy=accuracy,
            validation_cost=validation_cost,
            measured=measured,
        )
        is_best = now.history.is_best(validated)
        tested = is_best if plan.tested == "best" else now.epoch == plan.epochs - 1
        test_accuracy, test_cost = self._evaluate("test_data") if tested else (None, None)
        record = replace(validated, test_accuracy=test_accuracy, test_cost=test_cost)
        if is_best and record.score is not None:
            now.best = evaluated(self._network.architecture, now.arrays)
        now.history.epochs.append(record)
        logger.info("%s", epoch_line(record))
        now.epoch, now.step, now.cost_sum, now.seconds = now.epoch + 1, 0, 0.0, 0.0
        return any_stop([callback.on_epoch(record) for callback in plan.callbacks])

    def _evaluate(self, name: str) -> tuple[float | None, float | None]:
        """Accuracy, where the cost is of classes, and cost on one of the data sets, if there is that one."""
        evaluator = self._evaluators.get(name)
        if evaluator is None:
            return None, None
        outputs = evaluator(evaluated(self._network.architecture, self._state))
        accuracy = evaluator.accuracy(outputs["class"]) if "class" in outputs else None
        return accuracy, mean_cost(outputs["cost"])

    def _tell(self, hook: Hook, cost: float) -> bool:
        """Call all callbacks, also after one has asked to stop."""
        progress = self._progress(cost)
        return any_stop([getattr(callback, hook)(progress) for callback in self._plan.callbacks])

    def _progress(self, cost: float) -> Progress:
        now, plan = self._now, self._plan
        images = min(now.step * plan.mini_batch_size, plan.examples)
        return Progress(
            network=self._network,
            epoch=now.epoch,
            epochs=plan.epochs,
            step=now.step,
            steps=plan.steps,
            cost=cost,
            eta=self._latest_eta(),
            images_per_second=_rate(images, now.seconds),
            full_steps=plan.full_steps,
            choice=self._choice,
            records=tuple(now.history.epochs),
            save=self._save_as,
        )

    def _latest_eta(self) -> float:
        """The learning rate of the epoch's latest finished step, or of its first; 0 after the last epoch."""
        if self._now.epoch >= self._plan.epochs:
            return 0.0
        return float(self._epoch().etas[max(self._now.step - 1, 0)])

    def _checkpoint_due(self) -> bool:
        every = self._plan.checkpoint_every
        return self._now.step == 0 if every is None else self._steps_done % every == 0

    def _save(self) -> None:
        if self._plan.checkpoint is not None:
            checkpoint.write(self._plan.checkpoint, self._network, self._now)

    def _save_as(self, path: str | os.PathLike[str]) -> None:
        """What callbacks save with."""
        now = self._now
        if now.step == self._plan.steps:
            raise ArgumentError(
                f"epoch {now.epoch} is not evaluated yet; expected to save in on_epoch instead"
            )
        checkpoint.prepare(checked_path("path", path), self._network, self._plan)
        checkpoint.write(path, self._network, now)

    def _move(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Array]:
        return on_device(arrays, self._choice)

    def _failed(self, chunk: Chunk, outputs: Arrays) -> FailedChunk:
        return FailedChunk(
            chunk=chunk,
            graph=self._graphs[chunk.rows],
            executable=self._steps[chunk.rows],
            choice=self._choice,
            state=self._state,
            resident=self._resident,
            draws=self._draws,
            costs=outputs["cost"],
        )


@dataclass(frozen=True)
class _Epoch:
    number: int
    etas: npt.NDArray[np.float64]
    seed: int
    plan: Plan

    @cached_property
    def order(self) -> npt.NDArray[np.int32]:
        """Drawn when the first chunk needs it: a part of training, and counted as such."""
        return epoch_order(self.seed, self.number, len(self.plan.training), self.plan.shuffle)


def _compile(graph: StepGraph, gradient: str, choice: BackendChoice) -> Executable:
    backend, device = choice
    if gradient == "symbolic":
        return compile_cached(backend, step_function(graph), device)
    parameters = list(graph.architecture.parameters)
    gradients = compiled_functions.compile_native_gradient(
        backend, gradient_function(graph), "data_cost", parameters, device
    )
    updates = compile_cached(backend, update_function(graph.architecture, graph.options), device)
    return NativeStep(gradients, updates)


def _rate(images: int, seconds: float) -> float:
    return images / seconds if seconds > 0 else 0.0
