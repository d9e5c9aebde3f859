"""Other ways to be right, which the suite has to let pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Backend
from isograd.errors import UnsupportedError
from isograd.graph import FLOATING, Function, Tensor
from isograd.graph.tensor import rebuild
from isograd_conformance.faults.catalogue import arithmetic
from isograd_conformance.faults.catalogue.native import Native
from isograd_conformance.faults.fault import Variant, Witness
from isograd_conformance.faults.rewriting import NodeByNode, Rewritten, rebuilt
from isograd_conformance.faults.witness import applied_to, ramp, subject
from isograd_conformance.faults.wrapping import Arrays, Hosted, HostedExecutable, Made, Wrapped, wrapped_by
from isograd_conformance.subject import HostArray

# Executables and backends


class FortranOrder(HostedExecutable):
    """Results lie in Fortran order and can not be written to."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        outputs, new = super().compute(inputs, state)
        return _frozen(outputs), _frozen(new)


def _frozen(arrays: dict[str, HostArray]) -> dict[str, HostArray]:
    made = {name: np.array(array, order="F") for name, array in arrays.items()}
    for array in made.values():
        array.flags.writeable = False
    return made


class InPlaceOnCopies(HostedExecutable):
    """Works on copies of its own, and spoils them."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        mine = [{name: np.array(array) for name, array in part.items()} for part in (inputs, state)]
        made = super().compute(*mine)
        for part in mine:
            for array in part.values():
                array[...] = 1
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        return made


class Wavering(NodeByNode):
    """Declared not to be deterministic: the terms of sums are added forwards and backwards in turn."""

    def __init__(self, inner: Backend) -> None:
        table = {
            "matmul": arithmetic.Alternating(arithmetic.in_blocks, arithmetic.in_reverse),
            "reduce_sum": arithmetic.Alternating(arithmetic.sum_in_pairs, arithmetic.sum_in_reverse),
        }
        super().__init__(inner, table, deterministic=False)


class TwoAtATime(Hosted):
    """A run of steps in runs of two, by the wrapped backend itself."""

    def run_steps(
        self, executable: Any, state: Arrays, resident: Arrays, per_step: Arrays, steps: int
    ) -> Any:
        whole = super().run_steps(executable, state, resident, per_step, steps)
        parts, new = [], dict(state)
        for first in range(0, steps, 2):
            count = min(2, steps - first)
            rows = {name: array[first : first + count] for name, array in per_step.items()}
            outputs, sent = self.inner.run_steps(
                executable.inner, self.sent(new), self.sent(resident), self.sent(rows), count
            )
            parts.append(outputs)
            new = self.fetched(sent)
        return {name: np.concatenate([part[name] for part in parts]) for name in whole[0]}, new


class Flushing(Rewritten):
    """Subnormal operands and results of arithmetic become 0, as declared."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, {name: _flushing(name) for name in _FLUSHED}, flushes_subnormals=True)


_FLUSHED = ("add", "sub", "mul", "div", "exp", "tanh", "sigmoid", "matmul")


def _flushing(name: str) -> Any:
    def flushed(x: Tensor) -> Tensor:
        if x.dtype not in FLOATING:
            return x
        tiny = float(np.finfo(x.dtype).smallest_normal)
        return G.where(G.greater(tiny, G.abs_(x)), x * 0.0, x)

    def build(*operands: Tensor, **attributes: Any) -> Tensor:
        made = G.PRIMITIVES[name].build(*map(flushed, operands), **attributes)
        return flushed(made)

    return build


class Spread(Wrapped):
    """A factor is spread over a sum, a * (b + c) = a * b + a * c, as declared by `fuses`."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, fuses=True)

    def lowered(self, function: Function) -> Function:
        return rebuilt(function, lambda node, operands: _spread(rebuild(node, operands)))


def _spread(node: Tensor) -> Tensor:
    """The gradient and the decay of an update, each times the learning rate."""
    if node.primitive != "mul" or node.dtype not in FLOATING:
        return node
    factor, total = node.inputs
    scalar = factor.primitive == "broadcast_to" and factor.inputs[0].ndim == 0
    if not scalar or total.primitive != "add" or any(x.primitive != "mul" for x in total.inputs[1:]):
        return node
    return factor * total.inputs[0] + factor * total.inputs[1]


class SinglePrecisionOnly(Hosted):
    """Declares one floating-point dtype, and refuses the other."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, dtypes=inner.capabilities.dtypes - {"float64"})

    def compile(self, function: Function, device: str) -> Any:
        strange = sorted({node.dtype for node in function.nodes} - self.capabilities.dtypes)
        if strange:
            raise UnsupportedError(f"backend {self.name!r} does not implement {', '.join(strange)}")
        return super().compile(function, device)


class WithoutNativeGradient(Wrapped):
    """Declares no native gradient, deterministic results or limit of threads, and has none."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner, native_gradient=False, deterministic=False, limits_threads=False)

    def compile_native_gradient(self, *arguments: Any) -> Any:
        return Backend.compile_native_gradient(self, *arguments)

    def limit_threads(self, threads: int) -> Any:
        return Backend.limit_threads(self, threads)


# What they are seen by


def another_bit(build: Any, *operands: Any, dtype: str = "float32") -> Witness:
    """The bits of a tensor, which differ within the bound."""
    function, inputs = applied_to(build, *operands, dtype=dtype)

    def look(backend: Backend) -> object:
        seen = subject(backend)
        return seen.call(seen.compile(function), inputs).outputs["y"].tobytes()

    return look


def declared(backend: Backend) -> object:
    """What a backend is, and what it declares."""
    return type(backend), backend.capabilities


def repeats(backend: Backend) -> object:
    """Whether a product and a sum are the same bits again."""
    seen = subject(backend)
    function, inputs = applied_to(lambda a, b: (a @ b).sum(0), A, B)
    executable = seen.compile(function)
    first, second = (seen.call(executable, inputs).outputs["y"].tobytes() for _ in range(2))
    return first == second


def by_table(name: str, witness: Witness, table: dict[str, Any], **capabilities: Any) -> Variant:
    """A variant of some primitives."""
    return Variant(name, wrapped_by(lambda b: NodeByNode(b, table, **capabilities)), witness)


def by_class(name: str, make: Any, witness: Witness = declared) -> Variant:
    """A variant of a backend or its executables."""
    hosted = isinstance(make, type) and issubclass(make, HostedExecutable)
    return Variant(name, wrapped_by((lambda b: Hosted(b, make)) if hosted else make), witness)


A, B = ramp(7, 257, step=1 / 3), ramp(257, 7, step=1 / 7)
IMAGE, KERNEL = ramp(2, 5, 7, 6, step=1 / 3), ramp(3, 5, 3, 3, step=1 / 7)
PRODUCT = another_bit(lambda a, b: a @ b, A, B)
SUM = another_bit(lambda x: x.sum(0), ramp(131, 9, step=1 / 3))
CONVOLUTION = another_bit(lambda x, w: G.conv2d(x, w), IMAGE, KERNEL)
FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "softplus")

# The backend itself, wrapped as all faults wrap it.
CONTROL = "another object passes everything on"

VARIANTS: tuple[Variant, ...] = (
    by_class(CONTROL, Wrapped),
    by_class("arrays stay on the host", Hosted),
    by_class("every function is run node by node", lambda b: NodeByNode(b, {}, everything=True)),
    by_table("products summed in reverse", PRODUCT, {"matmul": arithmetic.in_reverse}),
    by_table("products summed in pairs", PRODUCT, {"matmul": arithmetic.product_in_pairs}),
    by_table("products summed in blocks", PRODUCT, {"matmul": arithmetic.in_blocks}),
    by_table("products with fused multiply-add", declared, {"matmul": arithmetic.fused}),
    by_table("products rounded once", PRODUCT, {"matmul": arithmetic.rounded_once}),
    by_table("sums in reverse", SUM, {"reduce_sum": arithmetic.sum_in_reverse}),
    by_table("sums in pairs", SUM, {"reduce_sum": arithmetic.sum_in_pairs}),
    by_table("sums with compensation", SUM, {"reduce_sum": arithmetic.compensated}),
    by_table(
        "functions 3.4 units in the last place off",
        another_bit(G.exp, A),
        {f: arithmetic.ulps_off(f, 3.4) for f in FUNCTIONS},
    ),
    by_table(
        "an exponential 20 units in the last place off, as declared",
        another_bit(G.exp, A),
        {"exp": arithmetic.ulps_off("exp", 20)},
        ulps={"exp": 21.0},
    ),
    by_table("argmax from the end", declared, {"argmax": arithmetic.argmax_by_search}),
    by_class(
        "logsumexp by other primitives", lambda b: Rewritten(b, {"logsumexp": arithmetic.stable_logsumexp})
    ),
    by_table("convolution as patches times weights", declared, {"conv2d": arithmetic.as_patches}),
    by_table(
        "convolution by Fourier transforms, declared normwise",
        CONVOLUTION,
        {"conv2d": arithmetic.by_fourier},
        normwise_convolution=True,
    ),
    by_table(
        "convolution by Winograd's filters, declared normwise",
        CONVOLUTION,
        {"conv2d": arithmetic.by_winograd},
        normwise_convolution=True,
    ),
    by_class(
        "subnormal numbers flushed, as declared", Flushing, another_bit(lambda x: x * 0.5, [2e-38, 1.0])
    ),
    by_class("factors spread over sums, as declared", Spread),
    by_class("results in Fortran order, read-only", FortranOrder),
    by_class("in-place on copies of its own", InPlaceOnCopies),
    by_class("not deterministic, as declared", Wavering, repeats),
    by_class("runs of steps in runs of two", TwoAtATime),
    by_class("single precision only", SinglePrecisionOnly),
    by_class("a native gradient that is the symbolic one", Native),
    by_class("nothing declared that need not be", WithoutNativeGradient),
)
