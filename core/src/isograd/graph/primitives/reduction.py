"""Primitives that remove axes. An empty sum is 0, an empty logsumexp -inf; an empty maximum is an error."""

from __future__ import annotations

from collections.abc import Sequence

from isograd.errors import ShapeError
from isograd.graph.dtypes import ARITHMETIC, FLOATING, ORDERED
from isograd.graph.primitives import checks
from isograd.graph.tensor import Application, Tensor, primitive


def _reduction(
    name: str, x: Tensor, axes: int | Sequence[int] | None, dtypes: frozenset[str], *, empty: bool
) -> Application:
    checks.tensor(name, "x", x, dtypes)
    removed = checks.axes(name, axes, x.ndim)
    if not empty and any(x.shape[a] == 0 for a in removed):
        raise ShapeError(f"{name}: shape {list(x.shape)} has no element along axes {list(removed)}")
    shape = tuple(n for a, n in enumerate(x.shape) if a not in removed)
    return Application((x,), shape, x.dtype, {"axes": removed})


@primitive("reduce")
def reduce_sum(x: Tensor, *, axes: int | Sequence[int] | None = None) -> Application:
    """The sum over axes, in any order of addition."""
    return _reduction("reduce_sum", x, axes, ARITHMETIC, empty=True)


@primitive("reduce")
def reduce_max(x: Tensor, *, axes: int | Sequence[int] | None = None) -> Application:
    """The maximum over axes; NaN if there is one, and no gradient then. Tied maxima share it evenly."""
    return _reduction("reduce_max", x, axes, ARITHMETIC, empty=False)


@primitive("reduce")
def argmax(x: Tensor, *, axis: int) -> Application:
    """The int32 index of the first maximum along an axis, of the first NaN if there is one. No gradient."""
    checks.tensor("argmax", "x", x, ORDERED)
    at = checks.axis("argmax", axis, x.ndim)
    if x.shape[at] == 0:
        raise ShapeError(f"argmax: shape {list(x.shape)} has no element along axis {at}")
    return Application((x,), x.shape[:at] + x.shape[at + 1 :], "int32", {"axis": at})


@primitive("reduce")
def logsumexp(x: Tensor, *, axes: int | Sequence[int] | None = None) -> Application:
    """log(sum(exp(x))), computed as m + log(sum(exp(x - m))) with m the maximum; -inf where all are -inf."""
    return _reduction("logsumexp", x, axes, FLOATING, empty=True)
