"""Whole functions drawn at random: shared nodes, views of shared buffers, results that are views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import graph as G
from isograd_numpy import executable as executable_module
from isograd_numpy.backend import NumpyBackend

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
Check = Callable[..., Any]
LARGEST = 200  # elements of a tensor


class Growth:
    """Tensors made one from another; each method adds one more, or nothing where none fits."""

    def __init__(self, draw: Draw, dtype: str) -> None:
        self.draw, self.dtype = draw, dtype
        m, n = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        image = (draw(st.integers(1, 3)), draw(st.integers(1, 2)), 4, 3)
        self.inputs = {
            name: G.variable(name, shape, dtype)
            for name, shape in {"x": (m, n), "row": (n,), "scalar": (), "image": image}.items()
        }
        self.indices = G.variable("indices", (3,), "int32")
        self.state = {
            name: G.variable(name, shape, dtype)
            for name, shape in {
                "u": (m, n),
                "v": (m, n),
                "w": (n, n),
                "f": (2, image[1], 2, 2),
                "s": (),
            }.items()
        }
        self.tensors = [*self.inputs.values(), *self.state.values()]

    def one(self, *ndims: int) -> G.Tensor | None:
        fitting = [t for t in self.tensors if t.ndim in ndims or not ndims]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def alike(self, x: G.Tensor) -> G.Tensor:
        return self.draw(st.sampled_from([t for t in self.tensors if t.shape == x.shape]))

    def unary(self) -> G.Tensor:
        return self.draw(st.sampled_from([G.neg, G.tanh, G.sigmoid, G.relu, G.softplus, G.abs_]))(self.one())

    def binary(self) -> G.Tensor:
        a = self.one()
        b = self.draw(st.sampled_from([self.alike(a), self.inputs["scalar"], self.state["s"], 0.5]))
        operation = self.draw(st.sampled_from([G.add, G.sub, G.mul, G.maximum, G.minimum, _larger, _divided]))
        return operation(a, b)

    def view(self) -> G.Tensor:
        x = self.one()
        kind = self.draw(st.sampled_from(["transpose", "flatten", "rows", "step", "spread"]))
        if kind == "transpose":
            return G.transpose(x, axes=self.draw(st.permutations(range(x.ndim))))
        if kind == "flatten":
            return x.reshape(x.size)
        if kind == "rows" and x.ndim:
            return x.reshape(x.size // x.shape[-1], x.shape[-1])
        if kind == "step" and x.ndim:
            return x[self.draw(st.integers(0, x.shape[0] - 1)) :: 2]
        return G.broadcast_to(x, (2, *x.shape))

    def reduction(self) -> G.Tensor:
        x = self.one()
        axes = sorted(self.draw(st.sets(st.integers(0, max(x.ndim - 1, 0)))) if x.ndim else ())
        return self.draw(st.sampled_from([G.reduce_sum, G.reduce_max, G.logsumexp]))(x, axes=axes)

    def square(self) -> G.Tensor:
        x = self.one()
        return (x * x).sum()

    def product(self) -> G.Tensor | None:
        a = self.one(2)
        fitting = [t for t in self.tensors if t.ndim == 2 and a is not None and a.shape[1] in t.shape]
        if a is None or not fitting:
            return None
        b = self.draw(st.sampled_from(fitting))
        return a @ (b if b.shape[0] == a.shape[1] else b.transpose())

    def joined(self) -> G.Tensor | None:
        x = self.one(1, 2, 4)
        if x is None or self.draw(st.booleans()):
            return None if x is None else G.pad(x, low=[1] * x.ndim, high=[0] * x.ndim, interior=[1] * x.ndim)
        return G.concat(x, self.alike(x), axis=self.draw(st.integers(0, x.ndim - 1)))

    def chosen(self) -> G.Tensor | None:
        x = self.one(1, 2, 4)
        if x is not None and x.shape[0] == 3 and self.draw(st.booleans()):
            return G.scatter_add(x, self.indices, size=4)
        return None if x is None else G.gather(x, self.indices)

    def pooled(self) -> G.Tensor | None:
        x = self.one(4)
        if x is None:
            return None
        window = tuple(self.draw(st.integers(1, min(n, 2))) for n in x.shape[2:])
        stride = self.draw(st.sampled_from([window, (1, 1), (2, 2)]))
        pool = self.draw(st.sampled_from([G.sum_pool2d, G.max_pool2d]))
        return pool(x, window=window, stride=stride)

    def convolved(self) -> G.Tensor | None:
        images = [t for t in self.tensors if t.ndim == 4 and t.shape[1] == self.state["f"].shape[1]]
        images = [t for t in images if min(t.shape[2:]) >= 2]
        return G.conv2d(self.draw(st.sampled_from(images)), self.state["f"]) if images else None

    def derived(self) -> G.Tensor | None:
        """A gradient of what there is with respect to a state or an input."""
        y = self.draw(st.sampled_from(self.tensors[-4:]))
        variables = [*self.state.values(), *self.inputs.values()]
        try:
            return G.vector_jacobian_product(
                y, G.constant(np.ones(y.shape, y.dtype)), self.draw(st.sampled_from(variables))
            )
        except ValueError:  # y does not depend on it
            return None

    def grow(self, steps: int) -> None:
        ways = [self.unary, self.binary, self.view, self.reduction, self.square, self.product]
        ways += [self.joined, self.chosen, self.pooled, self.convolved, self.derived, self.binary, self.view]
        for _ in range(steps):
            made = self.draw(st.sampled_from(ways))()
            if made is not None and 0 < made.size <= LARGEST:
                self.tensors.append(made)

    def update(self, state: G.Tensor) -> G.Tensor:
        """Something of the state's shape, by itself or as a step."""
        other = self.alike(state)
        eta = self.draw(st.sampled_from([0.5, self.inputs["scalar"], self.state["s"]]))
        forms = [
            other,
            state - other * eta,
            state * 0.9 - eta * (other + 0.1 * state),
            other - state,
            -(other * eta),
        ]
        return self.draw(st.sampled_from(forms))


def _larger(a: G.Tensor, b: Any) -> G.Tensor:
    return G.where(G.greater(a, b), a, b)


def _divided(a: G.Tensor, b: Any) -> G.Tensor:
    return a / (G.mul(b, b) + 1.0 if isinstance(b, G.Tensor) else b)


@st.composite
def functions(draw: st.DrawFn) -> G.Function:
    growth = Growth(draw, draw(st.sampled_from(["float32", "float64"])))
    growth.grow(draw(st.integers(1, 14)))
    updates = {n: growth.update(s) for n, s in growth.state.items() if draw(st.booleans())}
    growth.tensors += list(updates.values())  # new values may be results, and be read, too
    growth.grow(draw(st.integers(0, 3)))
    outputs = {
        f"y{i}": t for i, t in enumerate(draw(st.lists(st.sampled_from(growth.tensors[::-1]), max_size=4)))
    }
    inputs = {**growth.inputs, "indices": growth.indices}
    return G.Function(inputs, outputs, growth.state, updates)


def values_of(function: G.Function, seed: int, normal: Check) -> tuple[dict[str, Array], dict[str, Array]]:
    values = normal(seed, {**function.inputs, **function.state})
    limit = function.index_limits.get("indices", 1)
    values["indices"] = np.random.default_rng(seed).integers(0, limit, size=3).astype("int32")
    return {n: values[n] for n in function.inputs}, {n: values[n] for n in function.state}


def _reversed(a: Array) -> Array:
    backwards = tuple(slice(None, None, -1) for _ in a.shape)
    return a[backwards].copy()[backwards] if a.ndim else a.copy()


LAYOUTS: list[Callable[[Array], Array]] = [
    np.copy,
    lambda a: a.copy(order="F"),
    _reversed,
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a.copy(),
    lambda a: a.transpose().copy().transpose(),
]


def relaid(seed: int, arrays: dict[str, Array]) -> dict[str, Array]:
    """The same values in other layouts of memory, read-only."""
    rng = np.random.default_rng(seed)
    made = {name: LAYOUTS[rng.integers(len(LAYOUTS))](array) for name, array in arrays.items()}
    for array in made.values():
        array.flags.writeable = False
    return made


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=6 * settings().max_examples)
@given(function=functions(), seed=SEEDS)
def test_a_function_is_what_the_reference_says(
    function: G.Function, seed: int, check: Check, normal: Check
) -> None:
    check(function, *values_of(function, seed, normal))


@given(function=functions(), seed=SEEDS)
def test_results_share_memory_with_nothing_and_outlive_the_next_call(
    function: G.Function, seed: int, backend: NumpyBackend, normal: Check, same_bits: Check
) -> None:
    executable = backend.compile(function, "cpu")
    inputs, state = values_of(function, seed, normal)
    outputs, new = executable(inputs, state)
    kept = {n: a.copy() for n, a in outputs.items()}, {n: a.copy() for n, a in new.items()}
    others = executable(*values_of(function, seed + 1, normal))
    assert same_bits(outputs, kept[0])
    assert same_bits(new, kept[1])
    arrays = [a for part in (outputs, new, *others, inputs, state) for a in part.values()]
    for i, array in enumerate(arrays):
        assert not any(np.may_share_memory(array, other) for other in arrays[:i])


@contextmanager
def bound_from(size: int) -> Iterator[None]:
    """Resident arrays of at least so many bytes are read where they lie, smaller ones copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executable_module, "_BOUND_BYTES", size)
        yield


BOUND = st.sampled_from([0, 64, 2**40])


@given(function=functions(), seed=SEEDS, bound_bytes=BOUND)
def test_the_layout_of_what_is_given_does_not_matter(
    function: G.Function,
    seed: int,
    bound_bytes: int,
    backend: NumpyBackend,
    normal: Check,
    agree: Check,
    same_bits: Check,
) -> None:
    """To the bit for inputs of a call; within the bound for resident arrays, read where they lie."""
    executable = backend.compile(function, "cpu")
    inputs, state = values_of(function, seed, normal)
    plain, other = executable(inputs, state), executable(relaid(seed, inputs), relaid(seed + 1, state))
    assert same_bits(plain[0], other[0])
    assert same_bits(plain[1], other[1])
    with bound_from(bound_bytes):
        stacked, new = executable.run_steps(relaid(seed, state), relaid(seed + 2, inputs), {}, 1)
    agree({n: a[0] for n, a in stacked.items()}, function.outputs, {**inputs, **state})
    agree(new, {**function.state, **function.updates}, {**inputs, **state})


@given(
    function=functions(),
    seed=SEEDS,
    bound_bytes=BOUND,
    steps=st.integers(1, 4),
    cut=st.integers(0, 4),
    data=st.data(),
)
def test_steps_are_calls_one_after_another_however_they_are_cut_into_chunks(
    function: G.Function,
    seed: int,
    bound_bytes: int,
    steps: int,
    cut: int,
    data: st.DataObject,
    backend: NumpyBackend,
    normal: Check,
    same_bits: Check,
) -> None:
    executable = backend.compile(function, "cpu")
    rows = [values_of(function, seed + i, normal)[0] for i in range(steps)]
    state = start = values_of(function, seed, normal)[1]
    lasting = data.draw(st.sets(st.sampled_from(sorted(function.inputs))))
    resident = {name: rows[0][name] for name in lasting}
    outputs = []
    for row in rows:
        made, state = executable({**row, **resident}, state)
        outputs.append(made)
    chunks, after = [], start
    for part in (rows[:cut], rows[cut:]):
        if part:
            per_step = {n: np.stack([row[n] for row in part]) for n in function.inputs if n not in resident}
            with bound_from(bound_bytes):
                made, after = backend.run_steps(executable, after, resident, per_step, len(part))
            chunks.append(made)
    assert same_bits(after, state)
    for name in function.outputs:
        together = np.concatenate([made[name] for made in chunks])
        assert together.tobytes() == b"".join(made[name].tobytes() for made in outputs)
