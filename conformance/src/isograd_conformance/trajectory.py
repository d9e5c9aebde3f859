"""The check of several steps of training, by whatever program, against one bound that grows with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isograd import AveragePool, BatchNorm, Callback, Convolution, Dataset, FullyConnected, Network, Softmax
from isograd.backend import Backend
from isograd.training import Progress
from isograd.training.draws import Chunk
from isograd.training.step import step_function, step_graph
from isograd_conformance.bounds import IEEE, Arithmetic, Tracked, disagreement, track
from isograd_conformance.bounds.tally import VACUOUS
from isograd_conformance.networks import StepPlan, step_inputs
from isograd_conformance.subject import HostArray, HostArrays

COST = "cost"
IMAGE = (1, 4, 4)


def smooth_network(dtype: str = "float64") -> Network:
    """For images of the shape `IMAGE`, and without a branch that less than a rounding error decides.

    After one of those no bound on several steps would prove anything.
    """
    layers = [
        Convolution(2, window=3, activation="tanh", name="first"),
        BatchNorm(),
        AveragePool(window=2),
        FullyConnected(4, activation="tanh"),
        Softmax(3, weight_init="n_in"),
    ]
    return Network(layers, IMAGE, seed=2, init="n_in", dtype=dtype)


def normal_images(rows: int, dtype: str = "float64", seed: int = 0) -> HostArray:
    """Images of the shape `IMAGE` whose pixels are normally distributed: (rows, *IMAGE)."""
    return np.random.default_rng(seed).normal(size=(rows, *IMAGE)).astype(dtype)


def follow(
    net: Network, data: Dataset, plan: StepPlan, steps: int, arithmetic: Arithmetic = IEEE
) -> Iterator[dict[str, Tracked]]:
    """The cost of each of the first steps of `Network.SGD`, and the arrays after it, with their bounds.

    What two correct programs that begin with the same arrays, see the same batches and draw the same masks
    may be apart. What is accepted of a step, twice its bound, is what the arrays of the next may differ by.

    Parameters
    ----------
    net : Network
        Of float64: between the steps the reference, which is computed in it, is not rounded then.
    data : Dataset
        Its number of examples is a multiple of the mini-batch's.
    plan : StepPlan
    steps : int
    arithmetic : Arithmetic, optional
    """
    assert net.dtype == "float64"
    batches, rest = divmod(len(data), plan.mini_batch_size)
    assert rest == 0
    function = step_function(
        step_graph(net.architecture, data, plan.mini_batch_size, plan.options(len(data)))
    )
    wanted = {COST: function.outputs["cost"], **function.state, **function.updates}
    values: dict[str, HostArray] = {n: np.zeros(v.shape) for n, v in function.state.items()}
    values |= net.checked_arrays()
    errors = {name: np.zeros(array.shape) for name, array in values.items()}
    for step in range(steps):
        chunk = Chunk(step // batches, step % batches, 1, plan.mini_batch_size)
        inputs = step_inputs(net, data, chunk, plan.mini_batch_size, plan.eta)
        held = track(list(wanted.values()), {**inputs, **values}, arithmetic, errors)
        made = dict(zip(wanted, held, strict=True))
        yield made
        values = {name: made[name].value for name in function.state}
        errors = {name: 2 * made[name].error for name in function.state}


class _Recorder(Callback):
    every = 1

    def __init__(self) -> None:
        self.found: list[HostArrays] = []

    def on_chunk(self, progress: Progress) -> None:
        arrays = {path: array.copy() for path, array in progress.network.checked_arrays().items()}
        self.found.append({COST: np.asarray(progress.cost), **arrays})


def trained_by_sgd(
    net: Network, data: Dataset, plan: StepPlan, epochs: int, backend: Backend
) -> list[HostArrays]:
    """Train a network by `Network.SGD`: of each step "cost", before it, and all arrays by path, after it."""
    recorder = _Recorder()
    net.SGD(
        data, epochs, plan.mini_batch_size, plan.eta,
        lmbda=plan.lmbda, momentum=plan.momentum, nesterov=plan.nesterov,
        weight_decay=plan.weight_decay, label_smoothing=plan.label_smoothing,
        callbacks=[recorder], backend=backend, progress=False,
    )  # fmt: skip
    return recorder.found


def hold_trajectory(
    net: Network,
    data: Dataset,
    plan: StepPlan,
    found: Sequence[HostArrays],
    arithmetic: Arithmetic = IEEE,
) -> None:
    """Fail unless each step of a run gave what `follow` says, and that proves something.

    Parameters
    ----------
    net, data, plan, arithmetic
        As for `follow`; the network is as the run began.
    found : sequence of mapping of name to ndarray
        For each step any of "cost", before it, and arrays by path, after it.

    Raises
    ------
    AssertionError
        The message names the step and the array.
    """
    for step, (arrays, made) in enumerate(
        zip(found, follow(net, data, plan, len(found), arithmetic), strict=True)
    ):
        for name, array in arrays.items():
            held = made[name]
            problem = disagreement(np.asarray(array), held)
            assert problem is None, f"step {step}, {name}: {problem}"
            assert held.error.max() <= VACUOUS * abs(held.value).max(), f"step {step}, {name}: proves nothing"
