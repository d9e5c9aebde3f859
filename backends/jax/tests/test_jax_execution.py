"""How runs of steps are executed: the rule, shared programs, memory that is used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import ConvPool, Dataset, FullyConnected, Network, Softmax
from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError
from isograd_conformance.profiles import examples
from isograd_jax import executable as executable_module
from isograd_jax.backend import JaxBackend
from isograd_jax.executable import JaxExecutable
from isograd_jax.program import steps_mode

BACKEND = JaxBackend()


def counter(size: int = 3) -> G.Function:
    """w grows by x in each step; the output is what it was before."""
    x, w = G.variable("x", (size,)), G.variable("w", (size,))
    return G.Function({"x": x}, {"before": w * 1.0}, {"w": w}, {"w": w + x})


def convolution() -> G.Function:
    x, w = G.variable("x", (1, 1, 4, 4)), G.variable("w", (1, 1, 2, 2))
    return G.Function({"x": x}, {"y": G.conv2d(x, w).sum()}, {"w": w}, {"w": w + 1.0})


@pytest.mark.parametrize(
    ("function", "platform", "mode"),
    [
        (counter, "cpu", "loop"),
        (convolution, "cpu", "step"),
        (counter, "gpu", "loop"),
        (convolution, "gpu", "loop"),
    ],
)
def test_the_rule_depends_on_the_function_and_the_platform_alone(
    function: Any, platform: str, mode: str
) -> None:
    assert steps_mode(function(), platform) == mode


@pytest.mark.parametrize(
    ("layers", "mode"),
    [([FullyConnected(3), Softmax(2)], "loop"), ([ConvPool(1, window=3), Softmax(2)], "step")],
)
def test_a_checkpoint_records_which_way_was_taken(layers: list[Any], mode: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 6, 6)).astype(np.uint8)
    data = Dataset(images, [0, 1, 0, 1, 0, 1], scale=1 / 256)
    net, path = Network(layers, (1, 6, 6)), tmp_path / "run.safetensors"
    net.SGD(data, 1, 3, 0.1, backend=BACKEND, checkpoint=path)
    again = Network.load(path)
    assert again.training is not None
    assert again.training.backend["execution"] == mode
    assert again.training.backend["version"].endswith(f"(JAX {jax.__version__})")


@given(steps=st.integers(1, 600), common=st.sampled_from([1, 2**25]))
@examples(15)
def test_rows_beyond_the_last_step_are_never_run(steps: int, common: int) -> None:
    """Memory is laid out for more steps than there are; here for 256, or for the next power of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executable_module, "_COMMON_BYTES", common)
        compiled = BACKEND.compile(counter(), "cpu")
        state = {"w": jnp.zeros(3)}
        rows = {"x": jnp.ones((steps, 3))}
        outputs, after = BACKEND.run_steps(compiled, state, {}, rows, steps)
    np.testing.assert_array_equal(outputs["before"], np.arange(steps, dtype="float32")[:, None] * np.ones(3))
    np.testing.assert_array_equal(after["w"], np.full(3, steps))
    np.testing.assert_array_equal(state["w"], np.zeros(3))


@pytest.mark.parametrize("function", [counter, convolution])
def test_runs_of_several_lengths_share_one_program(function: Any) -> None:
    made = function()
    compiled = BACKEND.compile(made, "cpu")
    state = {"w": BACKEND.to_device(np.ones(made.state["w"].shape, "float32"), "cpu")}
    for steps in (1, 7, 44, 256):
        rows = np.ones((steps, *made.inputs["x"].shape), "float32")
        per_step = {"x": BACKEND.to_device(rows, "cpu")}
        _, state = BACKEND.run_steps(compiled, state, {}, per_step, steps)
    (run,) = compiled._steps.values()
    assert run._cache_size() == 1


def test_memory_for_results_is_not_laid_out_for_more_steps_than_it_should_be() -> None:
    assert executable_module._capacity(3, 100) == 256
    # The chunks of dropout masks for mini-batches of 128: 99 steps fit into 32 MiB, and all share a program.
    assert {executable_module._capacity(steps, 338_000) for steps in (1, 30, 40, 94, 99)} == {128}
    assert executable_module._capacity(3, 2**24) == 4
    assert executable_module._capacity(1, 2**30) == 1
    assert executable_module._capacity(257, 1) == 512


def test_the_states_memory_is_the_runs_own_and_given_arrays_stay_valid() -> None:
    compiled = BACKEND.compile(counter(), "cpu")
    state = {"w": jnp.zeros(3)}
    rows = {"x": jnp.ones((4, 3))}
    first = BACKEND.run_steps(compiled, state, {}, rows, 4)
    second = BACKEND.run_steps(compiled, first[1], {}, rows, 4)
    np.testing.assert_array_equal(first[1]["w"], np.full(3, 4))
    np.testing.assert_array_equal(second[1]["w"], np.full(3, 8))
    np.testing.assert_array_equal(state["w"], np.zeros(3))
    assert not rows["x"].is_deleted()


def test_arrays_of_another_library_are_refused_by_name() -> None:
    compiled = BACKEND.compile(counter(), "cpu")
    assert isinstance(compiled, JaxExecutable)
    with pytest.raises(ArgumentTypeError, match=r"x is a ndarray; expected a jax.Array"):
        compiled({"x": np.zeros(3, "float32")}, {"w": jnp.zeros(3)})


def test_an_unknown_device_is_refused_with_those_there_are() -> None:
    with pytest.raises(ArgumentError, match=r"'gpu' of backend 'jax'; its devices are: cpu"):
        BACKEND.compile(counter(), "gpu")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_are_data_without_a_copy(dtype: str) -> None:
    images = jnp.ones((6, 1, 4, 4), dtype)
    data = Dataset(images, jnp.asarray([0, 1, 2, 0, 1, 2], "int32"))
    assert np.shares_memory(data.inputs, np.asarray(images))
