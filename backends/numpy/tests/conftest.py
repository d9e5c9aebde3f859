"""The rounding bound of a graph, and the check of an executable against the reference evaluation by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, settings

from isograd import graph as G
from isograd.graph.reference import REFERENCE, evaluate
from isograd.graph.tensor import Tensor, topological
from isograd_numpy.backend import NumpyBackend
from isograd_numpy.executable import NumpyExecutable

settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), derandomize=False, max_examples=500)
settings.load_profile("ci")

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


class Tracked(NamedTuple):
    """A value in float64 and, for each element, what a correct evaluation may differ by."""

    value: Array
    error: Array


# The unit roundoff of each dtype; integers are exact.
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "int32": 0.0, "bool": 0.0, "uint8": 0.0}
# The allowance for a transcendental function: twice 4 units in the last place (one unit is 2 u).
ULPS = 8


def gamma(k: int, u: float) -> float:
    """Higham, "Accuracy and Stability of Numerical Algorithms", lemma 3.1: k roundings in any order."""
    return k * u / (1 - k * u)


def rounded(node: Tensor, size: Array, factor: float, terms: int = 1) -> Array:
    """`factor` times the size, and what so many terms may each lose by underflow; 0 where the size is 0."""
    if node.dtype not in G.FLOATING:
        return np.zeros(size.shape)
    tiny = float(np.finfo(node.dtype).smallest_subnormal)
    return np.where(size > 0, factor * size + terms * tiny, 0.0)


def track(tensors: Sequence[Tensor], values: Arrays) -> list[Tracked]:
    """Every tensor in float64, with the bound that the working dtypes of the graph's nodes imply.

    Where a branch is decided by less than the bound, either branch is right; such a draw is rejected.
    """
    nodes = topological(tensors)
    exact = dict(zip(map(id, nodes), evaluate(nodes, values, precision="float64"), strict=True))
    known: dict[int, Tracked] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            value = exact[id(node)]
            error = np.zeros(value.shape)
            if node.inputs:
                operands = [known[id(x)] for x in node.inputs]
                error = np.broadcast_to(
                    RULES[node.primitive](node, operands, value, UNIT[node.dtype]), value.shape
                )
            if node.dtype in G.FLOATING:
                error = _settled(value, error, node.dtype)
            known[id(node)] = Tracked(value, error)
    return [known[id(t)] for t in tensors]


def _settled(value: Array, error: Array, dtype: str) -> Array:
    """What is infinite or NaN is so exactly; what may overflow in the dtype is not bounded at all."""
    limits = np.finfo(dtype)
    overflow = abs(value) + error > float(limits.max)
    bounded = np.where(np.isnan(error) | overflow, np.inf, error)
    return np.where(np.isfinite(value), bounded, 0.0)


Rule = Callable[[Tensor, list[Tracked], Array, float], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def enter(bound: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, bound))
        return bound

    return enter


def _applied(node: Tensor, *operands: Array) -> Array:
    """The node's primitive, applied to errors or magnitudes in place of values."""
    return np.asarray(REFERENCE[node.primitive](*operands, **node.attributes))


@rule("reshape", "transpose", "broadcast_to", "slice", "stop_gradient", "concat", "reduce_max", "max_pool2d")
def _moved(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return _applied(node, *(x.error for x in xs))  # the maximum: 1-Lipschitz in the largest of the errors


@rule("pad")
def _padded(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return REFERENCE["pad"](xs[0].error, **{**node.attributes, "value": 0})


@rule("gather", "pool_gather2d")
def _selected(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return _applied(node, xs[0].error, xs[1].value)


@rule("neg", "abs")
def _same(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return xs[0].error


@rule("cast")
def _cast(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (x,) = xs
    if node.dtype not in G.FLOATING:
        assume(not x.error.any())
    narrowed = node.dtype == "float32" and node.inputs[0].dtype in ("float64", "int32")
    return x.error + (rounded(node, abs(v), u) if narrowed else 0)


@rule("relu")
def _relu(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return np.where(xs[0].value + xs[0].error > 0, xs[0].error, 0)


@rule("maximum", "minimum")
def _extremum(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return np.maximum(xs[0].error, xs[1].error)


@rule("where")
def _where(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    return np.where(xs[0].value, xs[1].error, xs[2].error)


def _distinct(apart: Array, doubt: Array) -> None:
    if doubt.any():
        assume(not ((apart <= doubt) & (doubt > 0)).any())


@rule("greater", "equal")
def _compared(node: Tensor, xs: list[Tracked], v: Array, u: float) -> float:
    _distinct(abs(xs[0].value.astype(float) - xs[1].value), xs[0].error + xs[1].error)
    return 0.0


@rule("sign")
def _sign(node: Tensor, xs: list[Tracked], v: Array, u: float) -> float:
    _distinct(abs(xs[0].value), xs[0].error)
    return 0.0


@rule("argmax", "max_pool2d_index")
def _first(node: Tensor, xs: list[Tracked], v: Array, u: float) -> float:
    order = np.argsort(xs[0].value, axis=None)
    x, error = (a.ravel()[order] for a in xs[0])
    _distinct(np.diff(x), error[:-1] + error[1:])
    return 0.0


@rule("add", "sub")
def _sum_of_two(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (a, ea), (b, eb) = xs
    exact = ((a == 0) & (ea == 0)) | ((b == 0) & (eb == 0))
    return ea + eb + np.where(exact, 0, u * (abs(v) + ea + eb))


@rule("mul")
def _product(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (a, ea), (b, eb) = xs
    error = abs(a) * eb + abs(b) * ea + ea * eb
    return error + rounded(node, abs(v) + error, u)


@rule("div")
def _quotient(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (_, ea), (b, eb) = xs
    error = (ea + abs(v) * eb) / np.maximum(abs(b) - eb, 0) if ea.any() or eb.any() else np.zeros(v.shape)
    return error + rounded(node, abs(v) + error, u)


def _sigmoid(x: Array) -> Array:
    return np.asarray(REFERENCE["sigmoid"](x))


# The largest derivative between two points, for functions whose derivative is monotonic, or bounded by 1.
SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "exp": lambda low, high: np.exp(high),
    "log": lambda low, high: 1 / np.maximum(low, 0),
    "sqrt": lambda low, high: 0.5 / np.sqrt(np.maximum(low, 0)),
    "tanh": lambda low, high: np.ones_like(low),
    "sigmoid": lambda low, high: np.minimum(_sigmoid(high), 0.25),
    "softplus": lambda low, high: _sigmoid(high),
}


@rule(*SLOPES, "pow")
def _transcendental(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (x, error) = xs[0]
    inherited = np.zeros(v.shape)
    if error.any():
        low, high = x - error, x + error
        if node.primitive == "pow":
            p = node.attributes["exponent"]
            slope = abs(p) * np.maximum(abs(low) ** (p - 1), abs(high) ** (p - 1))
        else:
            slope = SLOPES[node.primitive](low, high)
        inherited = np.where(error > 0, slope * error, 0)
    ulps = 1 if node.primitive == "sqrt" else ULPS
    return inherited + rounded(node, abs(v) + inherited, ulps * u, ulps)


def _terms(node: Tensor) -> int:
    """How many terms an element of the result is a sum of, at most."""
    shapes, a = [x.shape for x in node.inputs], node.attributes
    counts = {
        "reduce_sum": lambda: [shapes[0][axis] for axis in a["axes"]],
        "scatter_add": lambda: [node.inputs[1].size],
        "sum_pool2d": lambda: a["window"],
        "sum_pool2d_t": lambda: a["window"],
        "unpool2d": lambda: shapes[1][2:],
        "matmul": lambda: shapes[0][-1:],
        "conv2d": lambda: shapes[1][1:],
        "conv2d_dx": lambda: [shapes[1][0] // a["groups"], *shapes[1][2:]],
        "conv2d_dw": lambda: [shapes[1][0], *shapes[1][2:]],
    }
    return int(np.prod(counts[node.primitive](), dtype=np.int64)) if node.primitive in counts else 1


@rule("reduce_sum", "sum_pool2d", "sum_pool2d_t")
def _total(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (x, error) = xs[0]
    return _applied(node, error) + gamma(max(_terms(node) - 1, 0), u) * _applied(node, abs(x) + error)


@rule("scatter_add", "unpool2d")
def _collected(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (x, error), (index, _) = xs
    magnitude = _applied(node, abs(x) + error, index)
    return _applied(node, error, index) + gamma(max(_terms(node) - 1, 0), u) * magnitude


@rule("matmul", "conv2d", "conv2d_dx", "conv2d_dw")
def _contraction(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    (a, ea), (b, eb) = xs
    whole = _applied(node, abs(a) + ea, abs(b) + eb)
    inherited = _applied(node, abs(a), eb) + _applied(node, ea, abs(b) + eb)
    return inherited + rounded(node, whole, gamma(_terms(node), u), _terms(node))


@rule("logsumexp")
def _logsumexp(node: Tensor, xs: list[Tracked], v: Array, u: float) -> Array:
    """The shift counts as exact; each exponential inherits the rounding of its x - m."""
    (x, error), axes = xs[0], node.attributes["axes"]
    if not x.size:
        return np.zeros(v.shape)
    shift = np.where(np.isfinite(x.max(axis=axes, keepdims=True)), x.max(axis=axes, keepdims=True), 0)
    terms = np.exp(x - shift)
    total = terms.sum(axis=axes)
    moved = np.where(terms > 0, terms * abs(x - shift), 0).sum(axis=axes) / total
    k = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    inner = error.max(axis=axes) + u * moved + ULPS * u + gamma(k, u)
    return inner + ULPS * u * abs(np.log(total)) + u * (abs(v) + inner)


def agree(got: Arrays, tensors: Mapping[str, Tensor], values: Arrays) -> None:
    """Fail unless each array is what its tensor is defined to be, within twice the rounding bound."""
    assert got.keys() == tensors.keys()
    for (name, tensor), (value, error) in zip(
        tensors.items(), track(list(tensors.values()), values), strict=True
    ):
        assert (got[name].shape, got[name].dtype.name) == (tensor.shape, tensor.dtype), name
        found, value = got[name].astype("float64"), value.astype("float64")  # which holds every dtype exactly
        with np.errstate(invalid="ignore"):
            near = abs(found - value) <= 2 * error
        right = np.where(np.isfinite(value), near, (found == value) | (np.isnan(found) & np.isnan(value)))
        wrong = ~(right | np.isinf(error))
        expected = f"expected {value[wrong][:3]} +- {2 * error[wrong][:3]}"
        assert not wrong.any(), f"{name} is {found[wrong][:3]} at {np.argwhere(wrong)[:3]}, {expected}"


class Checked(NamedTuple):
    """An executable and what one run of it gave, which has been held to the reference."""

    executable: NumpyExecutable
    outputs: dict[str, Array]
    state: dict[str, Array]


def check(function: G.Function, inputs: Arrays, state: Arrays | None = None) -> Checked:
    """Run twice: both results are right and the same to the bit, nothing given was written to."""
    state = state or {}
    executable = NumpyBackend().compile(function, "cpu")
    before = {name: array.tobytes() for name, array in {**inputs, **state}.items()}
    runs = [executable(inputs, state) for _ in range(2)]
    assert {name: array.tobytes() for name, array in {**inputs, **state}.items()} == before
    outputs, new = runs[0]
    agree(outputs, function.outputs, {**inputs, **state})
    agree(new, {**function.state, **function.updates}, {**inputs, **state})
    assert same_bits(runs[0][0], runs[1][0])
    assert same_bits(new, runs[1][1])
    return Checked(executable, outputs, new)


def same_bits(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def normal(seed: int, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Standard normal numbers for floating tensors, small whole ones for the others."""
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(
            rng.normal(size=t.shape) if t.dtype in G.FLOATING else rng.integers(0, 2, size=t.shape), t.dtype
        )
        for name, t in tensors.items()
    }


@pytest.fixture(scope="session", name="check")
def _check() -> Callable[..., Checked]:
    """check(function, inputs, state): compile, run and compare with the reference by the rounding bound."""
    return check


@pytest.fixture(scope="session", name="agree")
def _agree() -> Callable[..., None]:
    """agree(arrays, tensors, values): the arrays are the tensors' values within the rounding bound."""
    return agree


@pytest.fixture(scope="session", name="same_bits")
def _same_bits() -> Callable[[Arrays, Arrays], bool]:
    """same_bits(a, b): the same names with the same bytes."""
    return same_bits


@pytest.fixture(scope="session", name="normal")
def _normal() -> Callable[..., dict[str, Array]]:
    """normal(seed, tensors): values for variables."""
    return normal


@pytest.fixture(scope="session")
def backend() -> NumpyBackend:
    return NumpyBackend()


def _network(dtype: str = "float32", batch: int = 4) -> G.Function:
    """A training step: convolutions, max pooling, a fully-connected layer; rows of a data set."""
    images, labels = G.variable("images", (30, 1, 12, 12), "uint8"), G.variable("labels", (30,), "int32")
    rows, eta = G.variable("rows", (batch,), "int32"), G.variable("eta", (), dtype)
    shapes = {"w1": (16, 1, 3, 3), "b1": (16,), "w2": (4, 16, 3, 3), "w3": (36, 10), "b3": (10,)}
    state = {name: G.variable(name, shape, dtype) for name, shape in shapes.items()}
    x = G.gather(images, rows).cast(dtype) / 256.0
    x = G.conv2d(x, state["w1"]) + state["b1"].reshape(1, 16, 1, 1)
    x = G.conv2d(G.relu(G.max_pool2d(x, window=2)), state["w2"])
    z = G.relu(x).reshape(batch, 36) @ state["w3"] + state["b3"]
    data_cost = G.log_likelihood(z, G.gather(labels, rows)).sum() / batch
    penalty = sum((w * w).sum() for name, w in state.items() if name.startswith("w")) * 0.005
    updates = {}
    for (name, w), g in zip(state.items(), G.grad(data_cost, list(state.values())), strict=True):
        updates[name] = w - eta * (g + 0.01 * w if name.startswith("w") else g)
    inputs = {"images": images, "labels": labels, "rows": rows, "eta": eta}
    return G.Function(inputs, {"cost": data_cost + penalty}, state, updates)


@pytest.fixture(scope="session")
def network() -> Callable[..., G.Function]:
    """network(dtype, batch): a training step of a small convolutional network."""
    return _network
