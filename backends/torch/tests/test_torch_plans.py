"""What a function becomes: a readable line of calls, with updates in place and nothing kept too long."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentTypeError
from isograd.testing import ReferenceBackend
from isograd_conformance.profiles import examples
from isograd_torch import plan
from isograd_torch.backend import TorchBackend
from isograd_torch.lowering import pooling

BACKEND, REFERENCE = TorchBackend(), ReferenceBackend()


def layer_step(dtype: str = "float32") -> G.Function:
    """A fully connected sigmoid layer under a softmax, with L2: a whole step of training."""
    x, y = G.variable("x", (4, 6), dtype), G.variable("y", (4,), "int32")
    w, b = G.variable("layer 0.weight", (6, 3), dtype), G.variable("layer 0.bias", (3,), dtype)
    eta = G.variable("eta", (), dtype)
    cost = G.log_likelihood(G.sigmoid(x @ w + b), y).sum() / 4
    gw, gb = G.grad(cost, [w, b])
    updates = {w.name: w - eta * (gw + 0.1 * w), b.name: b - eta * gb}
    penalty = (w * w).sum() * 0.05
    return G.Function({"x": x, "y": y, "eta": eta}, {"cost": cost + penalty}, {w.name: w, b.name: b}, updates)


def test_a_step_is_written_as_merged_calls_on_the_states_own_memory() -> None:
    source = BACKEND.compile(layer_step(), "cpu").program.source
    assert "f_addmm(p_layer_0_bias, p_x, p_layer_0_weight)" in source
    assert "f__accumulate(p_layer_0_weight" in source
    assert "f_sigmoid_backward(" in source
    assert "f__sum_of_squares(p_layer_0_weight)" in source
    assert source.count("f_exp") == 0  # the softmax uses the terms of the logsumexp
    assert "f_max_pool2d" not in source


def test_a_value_is_freed_where_it_is_last_read() -> None:
    x = G.variable("x", (1000,))
    y = x
    for _ in range(50):
        y = G.tanh(y)
    source = BACKEND.compile(G.Function({"x": x}, {"y": y}), "cpu").program.source
    assert source.count("del ") == 49


@pytest.mark.parametrize("names", [("a.b", "a_b", "a b"), ("x", "x_number"), ("class", "f_add"), ("ü", "v1")])
def test_names_of_variables_are_told_apart_whatever_they_are(names: tuple[str, ...]) -> None:
    variables = {name: G.variable(name, ()) for name in names}
    total = sum((i + 1) * v for i, v in enumerate(variables.values()))
    compiled = BACKEND.compile(G.Function(variables, {"y": total}), "cpu")
    given_values = {name: torch.tensor(10.0**i) for i, name in enumerate(names)}
    expected = sum((i + 1) * 10.0**i for i in range(len(names)))
    assert compiled(given_values, {})[0]["y"].item() == expected


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, float("nan"), float("-inf")]), min_size=16, max_size=16))
@examples(50)
def test_the_index_of_a_pool_is_the_same_whether_or_not_the_device_is_waited_for(values: list[float]) -> None:
    """The CPU looks for a NaN and then mends the index; other devices mend it always."""
    image = torch.tensor(values).reshape(1, 1, 4, 4)
    for stride in ((2, 2), (1, 1)):
        for a, b in zip(
            pooling.max_pool(image, (2, 2), stride), pooling._max_pool_cpu(image, (2, 2), stride), strict=True
        ):
            assert torch.equal(torch.nan_to_num(a, nan=-7), torch.nan_to_num(b, nan=-7))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_places_in_a_plane_too_large_to_be_counted_in_its_dtype(dtype: str) -> None:
    image = torch.zeros((1, 1, 1, 2**24 + 2), dtype=getattr(torch, dtype))
    image[0, 0, 0, 2**24 + 1] = float("nan")
    _, index = pooling.max_pool(image, (1, 2), (1, 2))
    assert index[0, 0, 0, -1].item() == 2**24 + 1


def test_the_steps_of_a_run_overwrite_their_own_copy_of_the_state() -> None:
    function = layer_step()
    compiled = BACKEND.compile(function, "cpu")
    rng = np.random.default_rng(0)
    state = {
        n: torch.tensor(rng.normal(size=v.shape), dtype=torch.float32) for n, v in function.state.items()
    }
    before = {name: tensor.clone() for name, tensor in state.items()}
    resident = {"x": torch.ones(4, 6), "y": torch.zeros(4, dtype=torch.int32)}
    per_step = {"eta": torch.full((3,), 0.5)}
    _, after = BACKEND.run_steps(compiled, state, resident, per_step, 3)
    for name, tensor in state.items():
        assert torch.equal(tensor, before[name])
        assert not torch.equal(after[name], before[name])
        assert after[name].data_ptr() != tensor.data_ptr()


def test_threads_share_one_program() -> None:
    function = layer_step("float64")
    compiled = BACKEND.compile(function, "cpu")
    barrier = threading.Barrier(4)

    def run(seed: int, start: bool) -> bytes:
        rng = np.random.default_rng(seed)
        state = {n: torch.tensor(rng.normal(size=v.shape)) for n, v in function.state.items()}
        resident = {"x": torch.tensor(rng.normal(size=(4, 6))), "y": torch.zeros(4, dtype=torch.int32)}
        if start:
            barrier.wait()
        per_step = {"eta": torch.full((200,), 0.1, dtype=torch.float64)}
        outputs, _ = BACKEND.run_steps(compiled, state, resident, per_step, 200)
        return outputs["cost"].tobytes()

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: run(seed, True), range(4)))
    assert together == [run(seed, False) for seed in range(4)]


@given(keep=st.sampled_from([0.0, 1.0]), value=st.sampled_from([1.0, float("nan"), float("inf")]))
@examples(20)
def test_a_factor_of_zero_hides_no_nan(keep: float, value: float) -> None:
    """BLAS leaves out what it multiplies by 0; 0 * NaN is NaN."""
    w, x = G.variable("w", (2, 2)), G.variable("x", (2, 2))
    k, eta = G.variable("k", ()), G.variable("eta", ())
    function = G.Function({"x": x, "k": k, "eta": eta}, {}, {"w": w}, {"w": k * w - eta * (x @ x)})
    compiled = BACKEND.compile(function, "cpu")
    given_values = {"x": torch.full((2, 2), value), "k": torch.tensor(keep), "eta": torch.tensor(0.0)}
    _, new = compiled(given_values, {"w": torch.full((2, 2), value)})
    with np.errstate(invalid="ignore"):
        expected = keep * np.float64(value) - 0.0 * np.float64(value)
    np.testing.assert_array_equal(new["w"].numpy(), np.full((2, 2), expected, "float32"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
# PyTorch's compiler imports what PyTorch has deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torch_compile_is_there_on_request_and_gives_the_same_step() -> None:
    function = layer_step("float64")
    state = {
        n: torch.linspace(-1, 1, v.size, dtype=torch.float64).reshape(v.shape)
        for n, v in function.state.items()
    }
    resident = {"x": torch.linspace(0, 1, 24, dtype=torch.float64).reshape(4, 6)}
    resident["y"] = torch.tensor([0, 1, 2, 0], dtype=torch.int32)
    per_step = {"eta": torch.tensor([0.5, 0.25, 0.125], dtype=torch.float64)}
    results = []
    for backend in (BACKEND, TorchBackend(torch_compile=True)):
        compiled = backend.compile(function, "cpu")
        outputs, after = backend.run_steps(compiled, state, resident, per_step, 3)
        results.append([outputs["cost"], *(tensor.numpy() for tensor in after.values())])
    # Some ten roundings of sums of at most 6 terms in each of 3 steps, on numbers of about 1.
    bound = 3 * 10 * 6 * 2.0**-53
    for eager, made in zip(*results, strict=True):
        assert abs(eager - made).max() <= bound
    assert TorchBackend(torch_compile=True).compilation_key("cpu") != BACKEND.compilation_key("cpu")


def test_torch_compile_is_a_bool() -> None:
    with pytest.raises(ArgumentTypeError, match="torch_compile is 'yes'; expected a bool"):
        TorchBackend(torch_compile="yes")  # type: ignore[arg-type]


SPECIAL = [float("nan"), float("inf"), float("-inf")]


def padded_convolution(
    sizes: tuple[int, int, int, int],
    window: tuple[int, int],
    around: tuple[int, int, int, int],
    stride: int,
    dilation: int,
) -> G.Function:
    """A convolution of an image with zeros around it, and its gradients with respect to image and filters."""
    x, w = G.variable("x", sizes, "float64"), G.variable("w", (2, sizes[1], *window), "float64")
    y = G.conv2d(G.pad2d(x, around), w, stride=(stride, stride), dilation=(dilation, dilation))
    g = G.variable("g", y.shape, "float64")
    gx, gw = G.grad((y * g).sum(), [x, w])
    return G.simplify(G.Function({"x": x, "w": w, "g": g}, {"y": y, "gx": gx, "gw": gw}))


@given(data=st.data())
@examples(60)
def test_zeros_around_an_image_are_left_to_the_kernel_and_count_as_zeros_beside_anything(
    data: st.DataObject,
) -> None:
    """Small whole numbers make every sum exact: the results are those of the definition to the bit."""
    stride, dilation = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    window = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    even = data.draw(st.booleans())
    top, left = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
    around = (
        top,
        top if even else data.draw(st.integers(0, 3)),
        left,
        left if even else data.draw(st.integers(0, 3)),
    )
    least = [dilation * (n - 1) + 1 for n in window]
    sizes = (
        data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2)),
        data.draw(st.integers(least[0], least[0] + 4)), data.draw(st.integers(least[1], least[1] + 4)),
    )  # fmt: skip
    function = padded_convolution(sizes, window, around, stride, dilation)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    arrays = {n: generator.integers(-3, 4, v.shape).astype("float64") for n, v in function.inputs.items()}
    for name in data.draw(st.sets(st.sampled_from(["x", "w", "g"]))):
        arrays[name].flat[data.draw(st.integers(0, arrays[name].size - 1))] = data.draw(
            st.sampled_from(SPECIAL)
        )
    compiled = BACKEND.compile(function, "cpu")
    found, _ = compiled({name: torch.tensor(array) for name, array in arrays.items()}, {})
    expected, _ = REFERENCE.compile(function, "cpu")(arrays, {})
    for name, result in found.items():
        np.testing.assert_array_equal(result.numpy(), expected[name], err_msg=name)


def test_a_convolution_with_the_padding_same_makes_no_larger_image() -> None:
    source = BACKEND.compile(
        padded_convolution((2, 3, 5, 5), (3, 3), (1, 1, 1, 1), 1, 1), "cpu"
    ).program.source
    assert "f_constant_pad_nd" not in source
    assert "f_getitem" not in source


def test_a_large_result_takes_the_memory_of_an_operand_that_nobody_reads_later() -> None:
    x = G.variable("x", (200, 100))
    kept = x * x
    spare = x + 1.0
    function = G.Function({"x": x}, {"y": G.tanh(spare * kept), "kept": kept})
    compiled = BACKEND.compile(function, "cpu")
    assert compiled.program.source.count("out=") == 2
    values = torch.linspace(-1, 1, 20_000).reshape(200, 100)
    before = values.clone()
    found, _ = compiled({"x": values}, {})
    assert torch.equal(values, before)
    assert torch.equal(found["kept"], before * before)
    assert torch.equal(found["y"], torch.tanh((before + 1) * (before * before)))


CALLS = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - b,
    lambda a, b: -a,
    lambda a, b: G.tanh(a),
    lambda a, b: G.relu(a) * b,
    lambda a, b: G.maximum(a, b),
    lambda a, b: a + b.sum((0,), keepdims=True),
    lambda a, b: a.reshape(4, 3).transpose(1, 0) + b,
    lambda a, b: G.where(a > b, a, 0.0),
]


def with_reuse_and_without(function: G.Function, given: dict[str, torch.Tensor]) -> str:
    """The text of a plan whose results are, on the memory of operands, bit for bit those on new memory."""
    results, sources = [], []
    for least in (1, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "LEAST_REUSED", least)
            compiled = TorchBackend().compile(function, "cpu")
        results.append(compiled(given, {})[0])
        sources.append(compiled.program.source)
    for name in function.outputs:
        assert torch.equal(results[0][name], results[1][name])
    return sources[0]


@given(data=st.data())
@examples(40)
def test_results_put_on_operands_are_those_of_new_memory(data: st.DataObject) -> None:
    """A random chain of calls, views and sums, with the least size for reuse at 1 and beyond reach."""
    x = G.variable("x", (3, 4), "float64")
    values = [x, x * 2.0]
    for _ in range(data.draw(st.integers(1, 12))):
        a, b = (data.draw(st.sampled_from(values)) for _ in range(2))
        made = data.draw(st.sampled_from(CALLS))
        values.append(made(a, b))
    outputs = {
        str(i): v for i, v in enumerate(data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=3)))
    }
    function = G.Function({"x": x}, outputs)
    given = torch.tensor(np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(3, 4)))
    with_reuse_and_without(function, {"x": given})


@given(data=st.data())
@examples(60)
def test_the_gradient_of_a_pool_may_take_the_memory_of_the_pooled_image(data: st.DataObject) -> None:
    """Also where windows overlap or leave pixels out, with the channels last or not."""
    shape = tuple(data.draw(st.integers(low, 5), label="side") for low in (1, 1, 2, 2))
    window = (data.draw(st.integers(1, shape[2])), data.draw(st.integers(1, shape[3])))
    stride = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    x, w = G.variable("x", shape, "float64"), G.variable("w", (3, shape[1], 1, 1), "float64")
    image = G.conv2d(x, w) if data.draw(st.booleans(), label="channels last") else x * 2.0
    pooled = G.max_pool2d(image, window=window, stride=stride)
    outputs = {"gradient": G.grad((pooled * pooled).sum(), [x])[0]}
    if data.draw(st.booleans(), label="the image is read"):
        outputs["image"] = image
    function = G.Function({"x": x, "w": w}, outputs)
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Few different numbers, so that windows have equals.
    given = {
        name: torch.tensor(generator.integers(-2, 3, v.shape) * 1.0) for name, v in function.inputs.items()
    }
    source = with_reuse_and_without(function, given)
    (unpool,) = (line for line in source.splitlines() if "f__unpool" in line)
    assert ("out=" in unpool) == ("image" not in outputs)
