"""Primitives that compute each element of the result from the operands' elements at the same place."""

from __future__ import annotations

from isograd.errors import ArgumentTypeError, ShapeError
from isograd.graph.dtypes import ARITHMETIC, FLOATING, ORDERED
from isograd.graph.primitives import checks
from isograd.graph.tensor import Application, Tensor, primitive


def _unary(name: str, x: Tensor, dtypes: frozenset[str]) -> Application:
    checks.tensor(name, "x", x, dtypes)
    return Application((x,), x.shape, x.dtype)


def _binary(name: str, a: Tensor, b: Tensor, dtypes: frozenset[str]) -> Application:
    checks.same(name, a, b, dtypes)
    return Application((a, b), a.shape, a.dtype)


@primitive("unary")
def neg(x: Tensor) -> Application:
    """-x."""
    return _unary("neg", x, ARITHMETIC)


@primitive("unary")
def exp(x: Tensor) -> Application:
    """e to the power x."""
    return _unary("exp", x, FLOATING)


@primitive("unary")
def log(x: Tensor) -> Application:
    """Natural logarithm; -inf at 0, NaN below."""
    return _unary("log", x, FLOATING)


@primitive("unary")
def sqrt(x: Tensor) -> Application:
    """Square root, correctly rounded; NaN below 0. Its derivative at 0 is inf."""
    return _unary("sqrt", x, FLOATING)


@primitive("unary")
def tanh(x: Tensor) -> Application:
    """Hyperbolic tangent."""
    return _unary("tanh", x, FLOATING)


@primitive("unary")
def sigmoid(x: Tensor) -> Application:
    """1 / (1 + exp(-x)), without overflow at either end."""
    return _unary("sigmoid", x, FLOATING)


@primitive("unary")
def relu(x: Tensor) -> Application:
    """x where x > 0, NaN where x is NaN, else 0. Derivative 1 where x > 0, else 0 (at 0 and NaN too)."""
    return _unary("relu", x, FLOATING)


@primitive("unary")
def softplus(x: Tensor) -> Application:
    """log(1 + exp(x)), without overflow. Derivative sigmoid(x)."""
    return _unary("softplus", x, FLOATING)


@primitive("unary")
def abs_(x: Tensor) -> Application:
    """Absolute value. Derivative sign(x), so 0 at 0."""
    return _unary("abs", x, ARITHMETIC)


@primitive("unary")
def sign(x: Tensor) -> Application:
    """-1, 0 or 1; NaN for NaN; 0 for both zeros. Derivative 0."""
    return _unary("sign", x, ARITHMETIC)


@primitive("binary")
def add(a: Tensor, b: Tensor) -> Application:
    """a + b; int32 wraps around."""
    return _binary("add", a, b, ARITHMETIC)


@primitive("binary")
def sub(a: Tensor, b: Tensor) -> Application:
    """a - b; int32 wraps around."""
    return _binary("sub", a, b, ARITHMETIC)


@primitive("binary")
def mul(a: Tensor, b: Tensor) -> Application:
    """a * b, element by element; int32 wraps around."""
    return _binary("mul", a, b, ARITHMETIC)


@primitive("binary")
def div(a: Tensor, b: Tensor) -> Application:
    """a / b by IEEE 754: x / 0 is an infinity, 0 / 0 is NaN."""
    return _binary("div", a, b, FLOATING)


@primitive("binary")
def pow_(x: Tensor, *, exponent: float) -> Application:
    """x to a static power; 1 for exponent 0.

    Derivative at 0: 0 for exponents 0 and above 1, 1 for 1, inf between 0 and 1, -inf below 0.
    """
    checks.tensor("pow", "x", x, FLOATING)
    if isinstance(exponent, bool) or not isinstance(exponent, int | float):
        raise ArgumentTypeError(
            f"pow: exponent is {exponent!r}; expected a number known when the graph is built"
        )
    return Application((x,), x.shape, x.dtype, {"exponent": float(exponent)})


@primitive("binary")
def maximum(a: Tensor, b: Tensor) -> Application:
    """The larger; NaN if either is NaN. At a tie half of the gradient goes to each."""
    return _binary("maximum", a, b, ARITHMETIC)


@primitive("binary")
def minimum(a: Tensor, b: Tensor) -> Application:
    """The smaller; NaN if either is NaN. At a tie half of the gradient goes to each."""
    return _binary("minimum", a, b, ARITHMETIC)


@primitive("select")
def greater(a: Tensor, b: Tensor) -> Application:
    """a > b as bool; False where either is NaN. No gradient."""
    checks.same("greater", a, b, ORDERED)
    return Application((a, b), a.shape, "bool")


@primitive("select")
def equal(a: Tensor, b: Tensor) -> Application:
    """a == b as bool; False where either is NaN. No gradient."""
    checks.same("equal", a, b)
    return Application((a, b), a.shape, "bool")


@primitive("select")
def where(condition: Tensor, a: Tensor, b: Tensor) -> Application:
    """a where the bool condition holds, else b. The branch not taken gets a gradient of exactly 0."""
    checks.tensor("where", "condition", condition, {"bool"})
    checks.same("where", a, b)
    if condition.shape != a.shape:
        raise ShapeError(f"where: condition has shape {list(condition.shape)}, the branches {list(a.shape)}")
    return Application((condition, a, b), a.shape, a.dtype)
