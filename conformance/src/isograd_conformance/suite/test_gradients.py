"""The gradient of every primitive on the backend: against the reference, and by laws that need none.

With J the Jacobian of a primitive at a point, the symbolic gradient is J'g; J v is the gradient of <J'g, v>
with respect to g, since J'g is linear in g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.backend import Executable
from isograd.training.step import GRADIENT
from isograd_conformance import exact
from isograd_conformance.bounds import Tracked, disagreement, track
from isograd_conformance.checks import check, check_executable, hold, require, same
from isograd_conformance.profiles import SIMPLEST, examples
from isograd_conformance.strategies.arrays import KINDS, SEEDS, arguments
from isograd_conformance.strategies.functions import costs, gradient_or_none
from isograd_conformance.strategies.primitives import (
    Application,
    Draw,
    applications,
    differentiable,
    smooth,
)
from isograd_conformance.subject import HostArray, Subject
from isograd_conformance.witnesses import bounded, hold_adjoint, inner, with_gradients

pytestmark = pytest.mark.judges("gradient")


@dataclass(frozen=True)
class Case:
    """One application of a primitive, with a variable for each operand, the cotangent g and the directions v.

    The operands that a gradient exists for are `moving`.
    """

    application: Application
    operands: dict[str, G.Tensor]
    result: G.Tensor
    cotangent: G.Tensor
    directions: dict[str, G.Tensor]

    @classmethod
    def of(cls, label: str, application: Application) -> Case:
        """A case the names of whose variables begin with `label`."""
        operands = {
            f"{label}.x{i}": G.variable(f"{label}.x{i}", o.shape, o.dtype)
            for i, o in enumerate(application.operands)
        }
        result = G.PRIMITIVES[application.primitive].build(*operands.values(), **application.attributes)
        directions = {
            name: G.variable(f"v/{name}", x.shape, x.dtype)
            for name, x in operands.items()
            if x.dtype in G.FLOATING
        }
        g = G.variable(f"{label}.g", result.shape, result.dtype)
        return cls(application, operands, result, g, directions)

    @property
    def moving(self) -> dict[str, G.Tensor]:
        return {name: self.operands[name] for name in self.directions}

    def outputs(self) -> dict[str, G.Tensor]:
        """J'g as "d/OPERAND", and J v as "J/COTANGENT" unless J is 0 throughout, as of `sign`."""
        found = G.vector_jacobian_product(self.result, self.cotangent, list(self.moving.values()))
        product: G.Tensor | None = None
        for gradient, v in zip(found, self.directions.values(), strict=True):
            term = (gradient * v).sum()
            product = term if product is None else product + term
        assert product is not None
        pushed = gradient_or_none(product, self.cotangent)
        named = {f"d/{name}": gradient for name, gradient in zip(self.moving, found, strict=True)}
        return named if pushed is None else {**named, f"J/{self.cotangent.name}": pushed}

    def values(self, rng: np.random.Generator, kind: str) -> dict[str, HostArray]:
        """Operands of a kind, or those at which there is a derivative, "smooth"."""
        if kind == "smooth":
            return dict(zip(self.operands, smooth(self.application, rng), strict=True))
        shapes = zip(self.operands, self.application.operands, strict=True)
        return {name: o.fill(rng, kind, o.shape, o.dtype) for name, o in shapes}


@dataclass(frozen=True)
class Linear:
    """Some cases in one function: their J'g and J v."""

    cases: list[Case]
    function: G.Function

    @classmethod
    def of(cls, cases: list[Case]) -> Linear:
        inputs: dict[str, G.Tensor] = {}
        outputs: dict[str, G.Tensor] = {}
        for case in cases:
            outputs |= case.outputs()
            variables = [*case.operands.values(), case.cotangent, *case.directions.values()]
            inputs |= {x.name: x for x in variables}
        return cls(cases, G.Function(inputs, outputs))

    def values(self, seed: int, kind: str) -> dict[str, HostArray]:
        """Operands of a kind; cotangents and directions are small whole numbers, whose sums are exact."""
        rng = np.random.default_rng(seed)
        given: dict[str, HostArray] = {}
        for case in self.cases:
            given |= case.values(rng, kind)
        return {
            name: given[name] if name in given else rng.integers(-8, 9, x.shape).astype(x.dtype)
            for name, x in self.function.inputs.items()
        }


@st.composite
def linear(draw: st.DrawFn, primitive: str, dtypes: tuple[str, ...]) -> Linear:
    """Two applications of a primitive for each dtype."""
    cases = []
    for dtype in dtypes:
        for number, application in enumerate(_several(draw, primitive, dtype)):
            case = Case.of(f"{dtype} {number}", application)
            cases += [case] if case.result.dtype in G.FLOATING else []  # a cast may leave the real numbers
    return Linear.of(cases)


def _several(draw: Draw, primitive: str, dtype: str) -> list[Application]:
    return draw(st.lists(applications(primitive, dtype), min_size=2, max_size=2))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", differentiable())
@given(data=st.data(), seed=SEEDS)
@examples(1)
def test_the_gradient_of_a_primitive(name: str, subject: Subject, data: st.DataObject, seed: int) -> None:
    """J'g and J v within the bound of the reference; <J v, g> is <v, J'g>; J'g is linear in g."""
    assume(seed != SIMPLEST)
    drawn = data.draw(linear(name, subject.floating))
    if not subject.declares(*{t.dtype for t in drawn.function.nodes}):
        pytest.skip(f"{subject.specification} does not declare what the gradient is made of")
    executable = subject.compile(drawn.function)
    for kind in KINDS:
        check_executable(subject, executable, drawn.values(seed, kind))
    hold_laws(subject, drawn, executable, drawn.values(seed, "smooth"), seed)


def hold_laws(
    subject: Subject, drawn: Linear, executable: Executable, values: dict[str, HostArray], seed: int
) -> None:
    """Two inner products are one; sums and powers of two pass through."""
    first = bounded(subject, executable, values)
    for case in drawn.cases:
        g = case.cotangent.name
        if f"J/{g}" in first:
            pulled = [(first[f"d/{name}"], values[f"v/{name}"]) for name in case.moving]
            hold_adjoint(repr(case.result), (first[f"J/{g}"], values[g]), pulled)
    cotangents = [case.cotangent.name for case in drawn.cases]
    rng = np.random.default_rng([seed, 1])
    others = {n: rng.integers(-8, 9, values[n].shape).astype(values[n].dtype) for n in cotangents}
    second = bounded(subject, executable, values | others)
    both = bounded(subject, executable, values | {n: values[n] + others[n] for n in cotangents})
    scaled = bounded(subject, executable, values | {n: values[n] * -4 for n in cotangents})
    for name in (n for n in drawn.function.outputs if n.startswith("d/")):
        (a, ea), (b, eb), (c, ec), (d, ed) = (run[name] for run in (first, second, both, scaled))
        with np.errstate(invalid="ignore"):
            total = Tracked(a.astype(float) + b, ea + eb + ec)
            problem = disagreement(c, total)
            assert problem is None, f"{name} of a sum of cotangents: {problem}"
        times = Tracked(a.astype(float) * -4, 4 * ea + ed)
        if subject.capabilities.deterministic:
            times = Tracked(times.value, np.where(scales(subject, a), 0, times.error))
        problem = disagreement(d, times)
        assert problem is None, f"{name} of -4 times the cotangent: {problem}"


def scales(subject: Subject, a: HostArray) -> HostArray:
    """Where a power of two times the cotangent rounds nothing: nothing that counts is near to underflow."""
    limits = np.finfo(a.dtype)
    exact_zero = (a == 0) & (not subject.capabilities.flushes_subnormals)
    return np.asarray(exact_zero | (abs(a) > limits.smallest_normal / limits.eps))


GROUPS = sorted({row.group for row in G.PRIMITIVES.values()})


@pytest.mark.parametrize("dtype", sorted(G.FLOATING))
@pytest.mark.parametrize("group", GROUPS)
@given(data=st.data(), seed=SEEDS)
@examples(1)
def test_the_native_gradient_of_every_primitive(
    group: str, dtype: str, subject: Subject, data: st.DataObject, seed: int
) -> None:
    assume(seed != SIMPLEST)
    require(subject, dtype)
    if not subject.capabilities.native_gradient:
        pytest.skip(f"{subject.specification} does not declare native_gradient")
    cases = []
    for name in (n for n in differentiable() if G.PRIMITIVES[n].group == group):
        case = Case.of(name, data.draw(applications(name, dtype)))
        cases += [case] if case.result.dtype == dtype else []
    if not cases:
        return
    drawn = Linear.of(cases)
    wrt = [name for case in cases for name in case.moving]
    inputs = {x: v for x, v in drawn.function.inputs.items() if not x.startswith("v/")}
    cost = sum(((case.result * case.cotangent).sum() for case in cases), G.constant(0, dtype))
    function = G.Function(inputs, {"cost": cost})
    executable = subject.compile_native_gradient(function, "cost", wrt)
    symbolic = {GRADIENT + x: drawn.function.outputs[f"d/{x}"] for x in wrt}
    wanted = G.Function(inputs, {"cost": cost, **symbolic})
    values = {x: v for x, v in drawn.values(seed, "smooth").items() if x in inputs}
    hold(subject, wanted, subject.call(executable, values), values, {})


@given(data=st.data(), seed=SEEDS)
@examples(10)
def test_three_witnesses_of_the_gradient_of_a_random_function(
    subject: Subject, data: st.DataObject, seed: int
) -> None:
    """Symbolic and native gradients on the backend, against differences of the value in exact arithmetic."""
    require(subject, "int32", "bool")
    function, wrt = data.draw(costs(subject.floating))
    if not wrt:
        return
    inputs, state = arguments(function, seed)
    variables, whole = {**function.inputs, **function.state}, with_gradients(function, "cost", wrt)
    gradients = {name: whole.outputs[GRADIENT + name] for name in wrt}
    symbolic = G.Function(function.inputs, gradients, function.state)
    found = {"symbolic": check(subject, symbolic, inputs, state).outputs}
    if subject.capabilities.native_gradient:
        executable = subject.compile_native_gradient(function, "cost", wrt)
        native = subject.call(executable, inputs, state)
        same(subject, subject.call(executable, inputs, state), native)
        hold(subject, whole, native, inputs, state)
        found["native"] = {name: native.outputs[GRADIENT + name] for name in wrt}
    values = {**inputs, **state}
    tracked = dict(zip(wrt, track(list(gradients.values()), values, subject.arithmetic), strict=True))
    rng = np.random.default_rng(seed)
    direction = {name: np.asarray(rng.integers(-8, 9, variables[name].shape), float) for name in wrt}
    cost = function.outputs["cost"]
    expected, error = exact.derivative(cost, np.ones(()), values, direction)
    for kind, arrays in found.items():
        value, bound = exact.number(0), error
        for name in wrt:
            part, doubt = inner(Tracked(arrays[name], tracked[name].error), direction[name])
            value, bound = value + part, bound + doubt
        assert abs(value - expected) <= bound, (
            f"{kind}: along {direction} the derivative is {float(value)}, by differences {float(expected)} "
            f"+- {float(bound)}"
        )
