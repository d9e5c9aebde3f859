"""Every two of the backends: the same draws to the bit, the same steps within the bound, shared files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import Dataset, Network, load_dataset
from isograd import graph as G
from isograd.plugins import dataset_descriptors
from isograd.runs import read_preset
from isograd.training.draws import Chunk, draw, epoch_order
from isograd_conformance.checks import bytes_of, require
from isograd_conformance.networks import StepPlan, check_layers, first_step, hold_step
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import SEEDS
from isograd_conformance.strategies.networks import every_kind_of_layer, layer_lists, toy_digits
from isograd_conformance.subject import HostArray, Subject

pytestmark = pytest.mark.judges("across")

Pair = tuple[Subject, Subject]
PLAN = StepPlan(5, 0.1, lmbda=0.1, momentum=0.5, nesterov=True)
EPOCHS = 2


@pytest.fixture(autouse=True)
def _needed(pair: Pair) -> None:
    for subject in pair:
        require(subject, "int32", "uint8", "bool")


def common(pair: Pair) -> str:
    """A floating-point dtype that both declare, the narrowest."""
    shared = sorted(set(pair[0].floating) & set(pair[1].floating))
    if not shared:
        pytest.skip("the two have no floating-point dtype in common")
    return shared[0]


def network(dtype: str, seed: int = 3) -> Network:
    return Network(every_kind_of_layer(), (1, 12, 12), seed=seed, dtype=dtype)


def draws(net: Network, data: Dataset, epoch: int) -> dict[str, HostArray]:
    """All that core draws for the full steps of an epoch."""
    order = epoch_order(net.seed, epoch, len(data), True)
    chunk = Chunk(epoch, 0, len(data) // PLAN.mini_batch_size, PLAN.mini_batch_size)
    return draw(net.architecture, net.seed, chunk, order, PLAN.mini_batch_size, PLAN.eta)


@pytest.mark.unordered
@given(seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 100))
@examples(40)
def test_weights_masks_and_batches_are_the_same_bits_on_both(pair: Pair, seed: int, epoch: int) -> None:
    net = network(common(pair), seed)
    drawn = {**net.parameters, **draws(net, toy_digits(), epoch)}
    for subject in pair:
        found = subject.fetch(subject.send(drawn))
        for name, array in drawn.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
            assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.unordered
def test_a_run_of_steps_sees_the_same_bits_on_both(pair: Pair) -> None:
    """The steps hand out what they were given: rows, masks, learning rate and weights."""
    dtype, data = common(pair), toy_digits()
    net = network(dtype)
    executables = {}
    for subject in pair:
        drawn = draws(net, data, 0)
        inputs = {n: G.variable(n, rows.shape[1:], rows.dtype.name) for n, rows in drawn.items()}
        state = {n: G.variable(n, w.shape, dtype) for n, w in net.parameters.items()}
        executables[subject] = subject.compile(G.Function(inputs, {**inputs, **state}, state))
    for epoch in range(3):
        drawn = draws(net, data, epoch)
        steps = len(drawn["rows"])
        for subject, executable in executables.items():
            seen = subject.run_steps(executable, net.parameters, {}, drawn, steps).outputs
            for name, rows in drawn.items():
                assert seen[name].tobytes() == rows.tobytes(), name
            for name, weight in net.parameters.items():
                assert seen[name].tobytes() == np.stack([weight] * steps).tobytes(), name


@pytest.mark.unordered
@given(data=st.data(), seed=SEEDS, rows=st.integers(1, 3))
@examples(5)
def test_the_gradients_of_a_step_agree_within_the_bound(
    pair: Pair, data: st.DataObject, seed: int, rows: int
) -> None:
    """Both are within twice the bound of the one reference, layer by layer, and so of each other."""
    layers, shape = data.draw(layer_lists())
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, *shape)).astype(np.uint8)
    net = Network(layers, shape, seed, init="n_in", dtype=common(pair))
    digits = Dataset(images, rng.integers(0, 2, 5), scale=1 / 256)
    case = first_step(net, digits, rows, lmbda=0.5, momentum=0.5)
    for subject in pair:
        check_layers(subject, case)


def train(net: Network, subject: Subject, **options: Any) -> None:
    net.SGD(
        toy_digits(),
        EPOCHS,
        PLAN.mini_batch_size,
        PLAN.eta,
        lmbda=PLAN.lmbda,
        momentum=PLAN.momentum,
        nesterov=PLAN.nesterov,
        backend=subject.specification,
        **options,
    )


def one_step(net: Network, subject: Subject, **options: Any) -> None:
    """Another step of a run, held to the bound of the backend that made it."""
    before = net.training
    assert before is not None
    train(net, subject, resume=True, max_steps=1, **options)
    assert net.training is not None
    hold_step(subject, net, toy_digits(), PLAN, before, net.training.arrays)
    assert net.training.backend["name"] == subject.backend.name


@pytest.mark.parametrize("stop", [1, 3, 4, 7])
def test_a_checkpoint_of_one_resumes_on_the_other(
    pair: Pair, stop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Within an epoch, before its smaller last batch and in the next: what is loaded has the same bits."""
    writer, reader = pair
    path: Path = tmp_path_factory.mktemp("run") / "run.safetensors"
    first = network(common(pair))
    train(first, writer, max_steps=stop, checkpoint=path)
    second = Network.load(path)
    assert bytes_of(second.checked_arrays()) == bytes_of(first.checked_arrays())
    one_step(second, reader)
    train(second, reader, resume=True)
    assert second.training is not None
    assert second.training.epoch == EPOCHS


@pytest.mark.unordered
def test_the_backend_may_alternate_from_call_to_call(pair: Pair) -> None:
    net = network(common(pair))
    train(net, pair[0], max_steps=1)
    for number in range(1, EPOCHS * -(-len(toy_digits()) // PLAN.mini_batch_size)):
        one_step(net, pair[number % 2])
    assert net.training is not None
    assert net.training.history.stopped == "completed"


LONG_STEPS, TOLERANCE = 1000, 1e-9  # both are stated by the specification of the project


def _image_data() -> Dataset:
    """The digits where they are installed, else random images of their size."""
    if "mnist" in dataset_descriptors():
        return load_dataset("mnist")[0]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10_000, 1, 28, 28)).astype(np.uint8)
    return Dataset(images, rng.integers(0, 10, len(images)), scale=1 / 256)


@cache
def _trained(preset: str, specification: str) -> dict[str, HostArray]:
    """The parameters after `LONG_STEPS` steps of a preset in float64."""
    run = read_preset(preset)
    net = run.new_network("float64")
    net.SGD(
        _image_data(),
        run.training.epochs,
        run.training.mini_batch_size,
        run.eta(),
        lmbda=run.training.lmbda,
        backend=specification,
        max_steps=LONG_STEPS,
    )
    return net.parameters


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Iterator[None]:
    yield
    _trained.cache_clear()


@pytest.mark.long
@pytest.mark.unordered
@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(
            preset, marks=pytest.mark.xdist_group(preset)
        )  # what is trained is kept for the next pair
        for preset in ("chapter6/dbl_conv_relu", "chapter6/double_fc_dropout")
    ],
)
def test_a_thousand_steps_of_a_preset_in_double_precision_agree(pair: Pair, preset: str) -> None:
    for subject in pair:
        require(subject, "float64")
    first, second = (_trained(preset, subject.specification) for subject in pair)
    for path, array in first.items():
        apart, scale = abs(array - second[path]).max(), abs(array).max()
        assert apart <= TOLERANCE * scale, f"{path} differs by {apart / scale:.2e} of its scale"
