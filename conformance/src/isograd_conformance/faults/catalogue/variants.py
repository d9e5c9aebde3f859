"""Other ways to be right, which the suite has to let pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import graph as G
from isograd.backend import Backend
from isograd.graph import FLOATING, Function, Tensor
from isograd.graph.reference import REFERENCE
from isograd.graph.tensor import rebuild
from isograd_conformance.faults.catalogue.native import Native
from isograd_conformance.faults.fault import Variant, Witness
from isograd_conformance.faults.rewriting import NodeByNode, Rewritten
from isograd_conformance.faults.witness import applied_to, ramp, subject
from isograd_conformance.faults.wrapping import Arrays, Hosted, HostedExecutable, Made, Wrapped, wrapped_by
from isograd_conformance.subject import HostArray

# Sums of products, by the ways in which their terms may be added.


def _in_reverse(a: HostArray, b: HostArray) -> HostArray:
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in reversed(range(a.shape[-1])):
        y += a[..., :, k, None] * b[..., None, k, :]
    return y


def _in_pairs(terms: HostArray) -> HostArray:
    """The sum over axis 0 as a balanced tree."""
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        terms = np.concatenate([terms[0 : len(terms) // 2 * 2 : 2] + terms[1::2], odd])
    return terms[0] if len(terms) else np.zeros(terms.shape[1:], terms.dtype)


def _product_in_pairs(a: HostArray, b: HostArray) -> HostArray:
    return _in_pairs(
        np.stack([a[..., :, k, None] * b[..., None, k, :] for k in range(a.shape[-1])])
        if a.shape[-1]
        else np.zeros((0, *a.shape[:-1], b.shape[-1]), a.dtype)
    )


def _in_blocks(a: HostArray, b: HostArray) -> HostArray:
    """The inner length in blocks of three, each a sum of its own."""
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in range(0, a.shape[-1], 3):
        y += REFERENCE["matmul"](a[..., k : k + 3], b[..., k : k + 3, :])
    return y


def _fused(a: HostArray, b: HostArray) -> HostArray:
    """Fused multiply-add: each product is added without having been rounded."""
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in range(a.shape[-1]):
        wide = y.astype("longdouble")
        y = (wide + a[..., :, k, None].astype("longdouble") * b[..., None, k, :]).astype(a.dtype)
    return y


def _rounded_once(a: HostArray, b: HostArray) -> HostArray:
    return np.asarray(np.matmul(a.astype("longdouble"), b.astype("longdouble")).astype(a.dtype))


def _total(x: HostArray, axes: Any) -> HostArray:
    """What is summed as axis 0."""
    kept = [a for a in range(x.ndim) if a not in axes]
    return x.transpose([*axes, *kept]).reshape(-1, *(x.shape[a] for a in kept))


def _sum_in_reverse(x: HostArray, *, axes: Any) -> HostArray:
    if not axes or x.dtype.kind != "f":
        return REFERENCE["reduce_sum"](x, axes=axes)
    terms = _total(x, axes)
    y = np.zeros(terms.shape[1:], x.dtype)
    for term in terms[::-1]:
        y = y + term
    return np.asarray(y)


def _sum_in_pairs(x: HostArray, *, axes: Any) -> HostArray:
    return np.asarray(_in_pairs(_total(x, axes)).astype(x.dtype)) if axes else x


def _compensated(x: HostArray, *, axes: Any) -> HostArray:
    """Kahan's sum, where all is finite."""
    if not axes or x.dtype.kind != "f" or not np.isfinite(x).all():
        return REFERENCE["reduce_sum"](x, axes=axes)
    terms = _total(x, axes)
    y = lost = np.zeros(terms.shape[1:], x.dtype)
    for term in terms:
        part = term - lost
        total = y + part
        lost = (total - y) - part
        y = total
    # Where the sum overflows on the way the plain one decides.
    plain = REFERENCE["reduce_sum"](x, axes=axes)
    return np.where(np.isfinite(y), y, plain)


# Functions


def _ulps_off(name: str, ulps: float) -> Any:
    """A function that errs by so many units in the last place, one way and the other."""

    def evaluate(x: HostArray) -> HostArray:
        exact = REFERENCE[name](x.astype("float64"))
        y = exact.astype(x.dtype)
        if x.dtype == np.float64:
            return y
        steps = np.where(np.arange(y.size).reshape(y.shape) % 2, ulps, -ulps)
        off = y + steps * np.spacing(abs(y))
        inside = np.isfinite(off) & (abs(y) >= np.finfo(y.dtype).smallest_normal)
        return np.where(inside, off, y).astype(x.dtype)

    return evaluate


def _stable_logsumexp(x: Tensor, *, axes: Any) -> Tensor:
    """By the maximum, in the graph language, with its infinities guarded."""
    largest = G.reduce_max(x, axes=axes) if all(x.shape[a] for a in axes) else None
    if largest is None or not axes:
        return G.logsumexp(x, axes=axes)
    finite = G.where(G.equal(largest - largest, 0), largest, 0)
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    shifted = x - G.broadcast_to(finite.reshape(*shape), x.shape)
    return G.log(G.reduce_sum(G.exp(shifted), axes=axes)) + finite


def _argmax_by_search(x: HostArray, *, axis: int) -> HostArray:
    """From the end to the beginning, keeping what is no less than the best so far."""
    rows = np.moveaxis(x, axis, 0)
    best = np.array(rows[-1])
    index = np.full(best.shape, len(rows) - 1)
    for i in reversed(range(len(rows) - 1)):
        better = (rows[i] >= best) | (rows[i] != rows[i]) | False
        better &= ~((best != best) & (rows[i] == rows[i]))
        best, index = np.where(better, rows[i], best), np.where(better, i, index)
    return np.asarray(index)


# Convolutions


def _as_patches(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """Patches times weights, in one product a group."""
    y = REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=groups)
    (n, c, *_), (o, i, kh, kw), (rows, columns) = x.shape, w.shape, y.shape[2:]
    patches = np.zeros((n, c, kh, kw, rows, columns), x.dtype)
    for u, v in np.ndindex(kh, kw):
        r, s = u * dilation[0], v * dilation[1]
        patches[:, :, u, v] = x[
            :,
            :,
            r : r + stride[0] * (rows - 1) + 1 : stride[0],
            s : s + stride[1] * (columns - 1) + 1 : stride[1],
        ]
    if not y.size or not w.size:
        return y
    grouped = patches.reshape(n, groups, i * kh * kw, rows * columns)
    filters = w.reshape(groups, o // groups, i * kh * kw)
    return np.asarray(np.matmul(filters, grouped)).reshape(y.shape)


def _by_fourier(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """By Fourier transforms of image and kernel, in the precision of the dtype."""
    if not x.size or not w.size or not np.isfinite(x).all() or not np.isfinite(w).all():
        return REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=groups)
    size = x.shape[2:]
    kernel = np.zeros(
        (*w.shape[:2], *(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True))), w.dtype
    )
    kernel[:, :, :: dilation[0], :: dilation[1]] = w
    complexes = "complex64" if x.dtype == np.float32 else "complex128"
    fx = np.fft.rfft2(x).astype(complexes)
    fw = np.conj(np.fft.rfft2(kernel, size)).astype(complexes)
    n, o, per = x.shape[0], w.shape[0], w.shape[0] // groups
    fy = np.zeros((n, o, *fx.shape[2:]), complexes)
    for group in range(groups):
        channels = slice(group * w.shape[1], (group + 1) * w.shape[1])
        maps = slice(group * per, (group + 1) * per)
        fy[:, maps] = np.einsum("ncij,ocij->noij", fx[:, channels], fw[maps])
    full = np.fft.irfft2(fy, size).astype(x.dtype)
    rows, columns = ((s - k) // t + 1 for s, k, t in zip(size, kernel.shape[2:], stride, strict=True))
    return full[:, :, : stride[0] * (rows - 1) + 1 : stride[0], : stride[1] * (columns - 1) + 1 : stride[1]]


# Minimal filtering of two outputs of three taps: Winograd's F(2, 3), Lavin and Gray 2016, equation 6.
_B = np.asarray([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_G = np.asarray([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_A = np.asarray([[1, 1, 1, 0], [0, 1, -1, -1]])


def _by_winograd(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """Along the columns of kernels three wide, two outputs at a time; all others as they are."""
    y = REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=groups)
    plain = stride == (1, 1) and dilation == (1, 1) and groups == 1 and w.shape[3] == 3
    if not plain or not y.size or not w.size or not np.isfinite(x).all() or not np.isfinite(w).all():
        return y
    b, g, a = (matrix.astype(x.dtype) for matrix in (_B, _G, _A))
    filters = np.einsum("ts,ocks->ockt", g, w)
    for j in range(0, y.shape[3] - 1, 2):
        y[..., j : j + 2] = 0
        for k in range(w.shape[2]):
            tile = x[:, :, k : k + y.shape[2], j : j + 4]
            m = np.einsum("ncit,oct->noit", np.einsum("ts,ncis->ncit", b, tile), filters[:, :, k])
            y[..., j : j + 2] += np.einsum("ts,nois->noit", a, m)
    return y


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


class Wavering(HostedExecutable):
    """Declared not to be deterministic: the least bit of every second call is another one."""

    def compute(self, inputs: Arrays, state: Arrays) -> Made:
        made = super().compute(inputs, state)
        self.__dict__["calls"] = count = self.__dict__.get("calls", 0) + 1
        touched = {id(t) for t in self.function.nodes if t.primitive in ("matmul", "conv2d")}
        if count % 2:
            return made
        results = {**self.function.outputs, **self.function.updates}
        for part in made:
            for name, array in part.items():
                if name in results and id(results[name]) in touched:
                    part[name] = np.nextafter(array, array.dtype.type(0))
        return made


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
        known: dict[int, Tensor] = {}
        for node in function.nodes:
            made = rebuild(node, [known[id(x)] for x in node.inputs])
            known[id(node)] = _spread(made)
        outputs = {name: known[id(t)] for name, t in function.outputs.items()}
        updates = {name: known[id(t)] for name, t in function.updates.items()}
        return Function(function.inputs, outputs, function.state, updates)


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
        from isograd.errors import UnsupportedError

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

VARIANTS: tuple[Variant, ...] = (
    by_class("another object passes everything on", Wrapped),
    by_class("arrays stay on the host", Hosted),
    by_class("every function is run node by node", lambda b: NodeByNode(b, {}, everything=True)),
    by_table("products summed in reverse", PRODUCT, {"matmul": _in_reverse}),
    by_table("products summed in pairs", PRODUCT, {"matmul": _product_in_pairs}),
    by_table("products summed in blocks", PRODUCT, {"matmul": _in_blocks}),
    by_table("products with fused multiply-add", declared, {"matmul": _fused}),
    by_table("products rounded once", PRODUCT, {"matmul": _rounded_once}),
    by_table("sums in reverse", SUM, {"reduce_sum": _sum_in_reverse}),
    by_table("sums in pairs", SUM, {"reduce_sum": _sum_in_pairs}),
    by_table("sums with compensation", SUM, {"reduce_sum": _compensated}),
    by_table(
        "functions 3.4 units in the last place off",
        another_bit(G.exp, A),
        {f: _ulps_off(f, 3.4) for f in FUNCTIONS},
    ),
    by_table(
        "an exponential 20 units in the last place off, as declared",
        another_bit(G.exp, A),
        {"exp": _ulps_off("exp", 20)},
        ulps={"exp": 21.0},
    ),
    by_table("argmax from the end", declared, {"argmax": _argmax_by_search}),
    by_class("logsumexp by other primitives", lambda b: Rewritten(b, {"logsumexp": _stable_logsumexp})),
    by_table("convolution as patches times weights", declared, {"conv2d": _as_patches}),
    by_table(
        "convolution by Fourier transforms, declared normwise",
        CONVOLUTION,
        {"conv2d": _by_fourier},
        normwise_convolution=True,
    ),
    by_table(
        "convolution by Winograd's filters, declared normwise",
        CONVOLUTION,
        {"conv2d": _by_winograd},
        normwise_convolution=True,
    ),
    by_class(
        "subnormal numbers flushed, as declared", Flushing, another_bit(lambda x: x * 0.5, [2e-38, 1.0])
    ),
    by_class("factors spread over sums, as declared", Spread),
    by_class("results in Fortran order, read-only", FortranOrder),
    by_class("in-place on copies of its own", InPlaceOnCopies),
    by_class("not deterministic, as declared", lambda b: Hosted(b, Wavering, deterministic=False)),
    by_class("runs of steps in runs of two", TwoAtATime),
    by_class("single precision only", SinglePrecisionOnly),
    by_class("a native gradient that is the symbolic one", Native),
    by_class("nothing declared that need not be", WithoutNativeGradient),
)
