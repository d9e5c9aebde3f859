"""Where a NaN or an infinity came from: the step, and the first layer concerned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.architecture import describe_layer
from isograd.backend import Array, Executable
from isograd.backend_choice import BackendChoice
from isograd.errors import NonFiniteError
from isograd.graph import Function, Tensor, grad, simplify
from isograd.training.draws import Chunk
from isograd.training.state import Arrays, all_finite
from isograd.training.step import AVERAGE, VELOCITY, StepGraph, run_steps

_NOT_REPRODUCED = ("unknown", "something that a second computation did not reproduce, in some layer")


@dataclass(frozen=True)
class FailedChunk:
    """A chunk that ended with something that is not finite, and what it takes to run it again.

    Attributes
    ----------
    chunk : Chunk
    graph : StepGraph
    executable : Executable
        The step.
    choice : BackendChoice
    state : mapping of str to array
        Before the chunk, on the device.
    resident : mapping of str to array
    draws : callable
        Gives the inputs of a chunk that change from step to step, on the device.
    costs : ndarray
        What the chunk gave, (steps,).
    """

    chunk: Chunk
    graph: StepGraph
    executable: Executable
    choice: BackendChoice
    state: Mapping[str, Array]
    resident: Mapping[str, Array]
    draws: Callable[[Chunk], dict[str, Array]]
    costs: npt.NDArray[Any]


def diagnose(failed: FailedChunk) -> NonFiniteError:
    """Run the chunk again step by step; the error that names the first bad step and the layer."""
    backend, state = failed.choice.backend, failed.state
    for index in range(failed.chunk.steps):
        draws = failed.draws(failed.chunk.single(index))
        outputs, after = run_steps(backend, failed.executable, state, failed.resident, draws, 1)
        moved = {name: backend.to_host(array) for name, array in after.items()}
        if not all_finite(outputs) or not all_finite(moved):
            layer, what = _culprit(failed, state, draws) or _first_in_update(failed, moved)
            return _error(failed, index, layer, what)
        state = after
    # Only a backend that is not deterministic comes here.
    bad = np.flatnonzero(~np.isfinite(failed.costs))
    index = int(bad[0]) if bad.size else failed.chunk.steps - 1
    return _error(failed, index, *_NOT_REPRODUCED)


def _error(failed: FailedChunk, index: int, layer: str, what: str) -> NonFiniteError:
    chunk, architecture = failed.chunk, failed.graph.architecture
    place = "the network"
    if layer in architecture.names:
        place = describe_layer(layer, architecture.layers[architecture.names.index(layer)])
    return NonFiniteError(
        f"epoch {chunk.epoch}, step {chunk.first_step + index}: {what} of {place} is NaN or infinite; the "
        f"network keeps its parameters from before step {chunk.first_step}. A smaller eta may help",
        epoch=chunk.epoch,
        step=chunk.first_step + index,
        layer=layer,
    )


def _culprit(
    failed: FailedChunk, state: Mapping[str, Array], draws: Mapping[str, Array]
) -> tuple[str, str] | None:
    """The first layer of a step, and what of it is not finite: forward its output, then its gradient."""
    graph = failed.graph
    forward = [
        (name, "the output", t) for name, t in zip(graph.architecture.names, graph.outputs, strict=True)
    ]
    forward.append((graph.architecture.names[-1], "the cost at the output", graph.cost))
    for suspects in (forward, _backward(graph)):
        found = _values(failed, [tensor for *_, tensor in suspects], state, draws)
        for (layer, what, _), value in zip(suspects, found, strict=True):
            if not np.isfinite(value).all():
                return layer, what
    return None


def _backward(graph: StepGraph) -> list[tuple[str, str, Tensor]]:
    """Each layer's gradients, in the order in which they are computed: from the last layer to the first."""
    names = graph.architecture.names
    first = min(names.index(path.partition(".")[0]) for path in graph.parameters)
    # A layer passes on the gradient with respect to its input, which is the output of the layer before it.
    inner = dict(zip(names[first + 1 :], graph.outputs[first:-1], strict=True))
    wrt = [(path.partition(".")[0], tensor) for path, tensor in graph.parameters.items()] + list(
        inner.items()
    )
    gradients = grad(graph.data_cost, [tensor for _, tensor in wrt])
    found = [(name, "the gradient", g) for (name, _), g in zip(wrt, gradients, strict=True)]
    return sorted(found, key=lambda row: -names.index(row[0]))


def _values(
    failed: FailedChunk, tensors: list[Tensor], state: Mapping[str, Array], draws: Mapping[str, Array]
) -> list[npt.NDArray[Any]]:
    """What tensors of the step's graph are, given the state before the step and its draws."""
    graph, (backend, device) = failed.graph, failed.choice
    function = simplify(Function(graph.inputs, {str(i): t for i, t in enumerate(tensors)}, graph.state))
    outputs, _ = backend.run_steps(
        backend.compile(function, device),
        {name: state[name] for name in graph.state},
        failed.resident,
        {name: array for name, array in draws.items() if name in graph.inputs},
        1,
    )
    return [outputs[str(i)] for i in range(len(tensors))]


def _first_in_update(failed: FailedChunk, moved: Arrays) -> tuple[str, str]:
    """Where only the new values are not finite."""
    for path in failed.graph.state:
        for name in (path, VELOCITY + path, AVERAGE + path):
            if name in moved and not np.isfinite(moved[name]).all():
                return path.partition(".")[0], "the update"
    return _NOT_REPRODUCED
