"""Operands that are plain variables, views of others or results; and functions of several applications."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from isograd.graph import PRIMITIVES, Function, Tensor, transpose, variable
from isograd.graph.dtypes import ARITHMETIC
from isograd_conformance.strategies.arrays import Fill
from isograd_conformance.strategies.primitives import Application, Draw, Operand, applications
from isograd_conformance.subject import HostArray

# Indices are checked on the host, so they have to be inputs as they are.
_INDEXED = ("gather", "scatter_add")


@dataclass(frozen=True)
class Source:
    """How the array of a variable is made: the operand's values, and the way to store them."""

    shape: tuple[int, ...]
    dtype: str
    fill: Fill
    store: Callable[[HostArray], HostArray]


@dataclass(frozen=True)
class Drawn:
    """A function and how to make its inputs."""

    function: Function
    sources: Mapping[str, Source]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What Hypothesis prints of an example that fails: how its inputs are stored shows in the graph."""
        printer.text(f"a function:\n{self.function}")

    def inputs(self, seed: int, kind: str) -> dict[str, HostArray]:
        """Values of a kind (`strategies.arrays.KINDS`) for every input."""
        rng = np.random.default_rng(seed)
        return {
            name: source.store(source.fill(rng, kind, source.shape, source.dtype))
            for name, source in self.sources.items()
        }


def disguised(draw: Draw, name: str, operand: Operand) -> tuple[Tensor, Source]:
    """A tensor with the operand's shape, and the source of its variable."""
    kind = draw(st.sampled_from(["plain", "transposed", "sliced", "computed"]))
    shape, dtype, fill = operand
    if kind == "transposed":
        axes = draw(st.permutations(range(len(shape))))
        back = [axes.index(a) for a in range(len(shape))]
        stored = variable(name, [shape[a] for a in axes], dtype)
        return transpose(stored, axes=back), Source(
            shape, dtype, fill, lambda value: value.transpose(axes).copy(order="C")
        )
    if kind == "sliced" and shape:
        around = variable(name, [2 * n + 1 for n in shape], dtype)
        inner = tuple(slice(1, None, 2) for _ in shape)

        def store(value: HostArray) -> HostArray:
            stored = np.zeros(around.shape, dtype)
            stored[inner] = value
            return stored

        return around[inner], Source(shape, dtype, fill, store)
    x = variable(name, shape, dtype)
    computed = kind == "computed" and dtype in ARITHMETIC
    return (x - 0 if computed else x), Source(shape, dtype, fill, lambda value: value)


@st.composite
def several(draw: st.DrawFn, primitive: str, dtype: str, least: int = 4, most: int = 6) -> Drawn:
    """A function of `least` to `most` applications of a primitive, each twice.

    The second is on the same shapes with other values: what one lowering leaves for others must not be
    mistaken. Many in one function also spares backends that take long to compile.
    """
    outputs: dict[str, Tensor] = {}
    variables: dict[str, Tensor] = {}
    sources: dict[str, Source] = {}
    chosen: Sequence[Application] = draw(
        st.lists(applications(primitive, dtype), min_size=least, max_size=most)
    )
    for number, application in enumerate(chosen):
        for twin in ("", "'"):
            operands = []
            for i, operand in enumerate(application.operands):
                name = f"x{number}{i}{twin}"
                if i == 1 and primitive in _INDEXED:
                    tensor: Tensor = variable(name, operand.shape, operand.dtype)
                    source = Source(*operand, lambda value: value)
                else:
                    tensor, source = disguised(draw, name, operand)
                operands.append(tensor)
                sources[name] = source
                variables[name] = _variable_below(tensor)
            outputs[f"y{number}{twin}"] = PRIMITIVES[primitive].build(*operands, **application.attributes)
    return Drawn(Function(variables, outputs), sources)


def _variable_below(tensor: Tensor) -> Tensor:
    while tensor.primitive != "variable":
        tensor = tensor.inputs[0]
    return tensor
