"""Whole functions grown at random: shared nodes, views of shared values, results that are views, updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.strategies.primitives import Draw

# No tensor has more elements, and so none is drawn that makes a test slow.
LARGEST = 200


class Growth:
    """Tensors made one from another; each method gives one more, or None where none fits."""

    def __init__(self, draw: Draw, dtype: str) -> None:
        self.draw, self.dtype = draw, dtype
        m, n = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        image = (draw(st.integers(1, 3)), draw(st.integers(1, 2)), 4, 3)
        shapes = {"x": (m, n), "row": (n,), "scalar": (), "image": image}
        states = {"u": (m, n), "v": (m, n), "w": (n, n), "f": (2, image[1], 2, 2), "s": ()}
        self.inputs = {name: G.variable(name, shape, dtype) for name, shape in shapes.items()}
        self.state = {name: G.variable(name, shape, dtype) for name, shape in states.items()}
        self.indices = G.variable("indices", (3,), "int32")
        self.tensors = [*self.inputs.values(), *self.state.values()]

    def one(self, *ndims: int) -> G.Tensor | None:
        """Any tensor, or any with one of these numbers of axes."""
        fitting = [t for t in self.tensors if t.ndim in ndims or not ndims]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def any(self) -> G.Tensor:
        return self.draw(st.sampled_from(self.tensors))  # type: ignore[no-any-return]

    def alike(self, x: G.Tensor) -> G.Tensor:
        """Any tensor of the same shape."""
        return self.draw(  # type: ignore[no-any-return]
            st.sampled_from([t for t in self.tensors if t.shape == x.shape])
        )

    def unary(self) -> G.Tensor:
        chosen = self.draw(st.sampled_from([G.neg, G.tanh, G.sigmoid, G.relu, G.softplus, G.abs_]))
        return chosen(self.any())  # type: ignore[no-any-return]

    def binary(self) -> G.Tensor:
        a = self.any()
        b = self.draw(st.sampled_from([self.alike(a), self.inputs["scalar"], self.state["s"], 0.5]))
        operations = [G.add, G.sub, G.mul, G.maximum, G.minimum, _larger, _divided]
        return self.draw(st.sampled_from(operations))(a, b)  # type: ignore[no-any-return]

    def view(self) -> G.Tensor:
        x = self.any()
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
        x = self.any()
        axes = sorted(self.draw(st.sets(st.integers(0, max(x.ndim - 1, 0)))) if x.ndim else ())
        chosen = self.draw(st.sampled_from([G.reduce_sum, G.reduce_max, G.logsumexp]))
        return chosen(x, axes=axes)  # type: ignore[no-any-return]

    def square(self) -> G.Tensor:
        x = self.any()
        return (x * x).sum()

    def product(self) -> G.Tensor | None:
        a = self.one(2)
        fitting = [t for t in self.tensors if t.ndim == 2 and a is not None and a.shape[1] in t.shape]
        if a is None or not fitting:
            return None
        b: G.Tensor = self.draw(st.sampled_from(fitting))
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
        chosen = self.draw(st.sampled_from([G.sum_pool2d, G.max_pool2d]))
        return chosen(x, window=window, stride=stride)  # type: ignore[no-any-return]

    def convolved(self) -> G.Tensor | None:
        images = [t for t in self.tensors if t.ndim == 4 and t.shape[1] == self.state["f"].shape[1]]
        images = [t for t in images if min(t.shape[2:]) >= 2]
        return G.conv2d(self.draw(st.sampled_from(images)), self.state["f"]) if images else None

    def derived(self) -> G.Tensor | None:
        """The gradient of a recent tensor with respect to a state or an input, where there is one."""
        y: G.Tensor = self.draw(st.sampled_from(self.tensors[-4:]))
        variables = [*self.state.values(), *self.inputs.values()]
        wrt: G.Tensor = self.draw(st.sampled_from(variables))
        return gradient_or_none(y, wrt)

    def grow(self, steps: int) -> None:
        """Add up to so many tensors."""
        ways: Sequence[Any] = [
            *(self.unary, self.binary, self.view, self.reduction, self.square, self.product, self.joined),
            *(self.chosen, self.pooled, self.convolved, self.derived, self.binary, self.view),
        ]
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
        return self.draw(st.sampled_from(forms))  # type: ignore[no-any-return]


def gradient_or_none(y: G.Tensor, wrt: G.Tensor) -> G.Tensor | None:
    """The gradient of sum(y); None where y does not depend on `wrt` through differentiable primitives."""
    try:
        return G.vector_jacobian_product(y, G.constant(np.ones(y.shape, y.dtype)), wrt)
    except ValueError:
        return None


def _larger(a: G.Tensor, b: Any) -> G.Tensor:
    return G.where(G.greater(a, b), a, b)


def _divided(a: G.Tensor, b: Any) -> G.Tensor:
    return a / (G.mul(b, b) + 1.0 if isinstance(b, G.Tensor) else b)


@st.composite
def functions(draw: st.DrawFn, dtypes: Sequence[str]) -> G.Function:
    """A function with inputs, state, outputs and updates, computed in one of the dtypes."""
    growth = Growth(draw, draw(st.sampled_from(list(dtypes))))
    growth.grow(draw(st.integers(1, 14)))
    updates = {n: growth.update(s) for n, s in growth.state.items() if draw(st.booleans())}
    growth.tensors += list(updates.values())  # new values may be results, and be read, too
    growth.grow(draw(st.integers(0, 3)))
    chosen = draw(st.lists(st.sampled_from(growth.tensors[::-1]), max_size=4))
    outputs = {f"y{i}": t for i, t in enumerate(chosen)}
    inputs = {**growth.inputs, "indices": growth.indices}
    return G.Function(inputs, outputs, growth.state, updates)


@st.composite
def costs(draw: st.DrawFn, dtypes: Sequence[str]) -> tuple[G.Function, list[str]]:
    """A function with a scalar output "cost", and the names of the variables that it has gradients for."""
    growth = Growth(draw, draw(st.sampled_from(list(dtypes))))
    growth.grow(draw(st.integers(2, 10)))
    chosen = draw(st.lists(st.sampled_from(growth.tensors[::-1]), min_size=1, max_size=3))
    cost = G.tanh(chosen[0]).sum()
    for tensor in chosen[1:]:
        cost = cost + (tensor * 0.5).sum()
    inputs = {**growth.inputs, "indices": growth.indices}
    variables = [*growth.inputs.values(), *growth.state.values()]
    wrt = [x.name for x in variables if gradient_or_none(cost, x) is not None]
    updates = {"u": growth.update(growth.state["u"])} if draw(st.booleans()) else {}
    return G.Function(inputs, {"cost": cost, "beside": growth.any()}, growth.state, updates), wrt
