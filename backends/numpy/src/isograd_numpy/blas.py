"""General matrix products, prepared once and called many times: out = alpha * a @ b + beta * out, in place.

NumPy's own `matmul` has no beta. Accumulating in the product spares a pass over memory, and a weight update
becomes the product that makes its gradient. The routine is the one in the BLAS that NumPy has loaded; where
that library does not show it, SciPy's.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Call = Callable[[], object]

_ROW_MAJOR, _COLUMN_MAJOR, _PLAIN, _TRANSPOSED = 101, 102, 111, 112
_LETTERS = {"float32": "s", "float64": "d"}
_SCALARS: dict[str, Any] = {"float32": ctypes.c_float, "float64": ctypes.c_double}


class Gemm(NamedTuple):
    """One BLAS routine: `call(order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`."""

    call: Callable[..., None]
    source: str


def multiply(a: Array, b: Array, out: Array, *, alpha: float = 1.0, beta: float = 0.0) -> Call | None:
    """A call that does out = alpha * a @ b + beta * out each time, or None where BLAS can not address an operand.

    Parameters
    ----------
    a, b, out : ndarray
        (m, k), (k, n) and (m, n) of one floating dtype, C- or F-ordered, also as part of a wider array. The
        memory of all three must outlive the call: it goes by address.
    """
    prepared = prepare(a, b, out)
    if prepared is None:
        return None
    return functools.partial(prepared, alpha, beta)


def prepare(a: Array, b: Array, out: Array) -> Callable[[float, float], None] | None:
    """As `multiply`, with alpha and beta given at each call."""
    if 0 in out.shape or 0 in a.shape:
        return None
    order, c = _ROW_MAJOR, _leading(out)
    if c is None or c[0] == _TRANSPOSED:
        a, b, out = b.T, a.T, out.T
        order, c = _ROW_MAJOR, _leading(out)
    left, right = _leading(a), _leading(b)
    if c is None or c[0] == _TRANSPOSED or left is None or right is None:
        return None
    scalar = _SCALARS[out.dtype.name]
    call = gemm(out.dtype.name).call
    (m, k), n = a.shape, b.shape[1]
    sizes = order, left[0], right[0], m, n, k
    addresses = (a.ctypes.data, left[1]), (b.ctypes.data, right[1]), (out.ctypes.data, c[1])
    (pa, lda), (pb, ldb), (pc, ldc) = addresses

    def run(alpha: float, beta: float) -> None:
        call(*sizes, scalar(alpha), pa, lda, pb, ldb, scalar(beta), pc, ldc)

    return run


def _leading(x: Array) -> tuple[int, int] | None:
    """How BLAS addresses a matrix: plain or transposed, and the distance between rows in elements."""
    (rows, columns), (down, right) = x.shape, (s // x.itemsize for s in x.strides)
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return _PLAIN, max(down if rows > 1 else columns, columns, 1)
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return _TRANSPOSED, max(right if columns > 1 else rows, rows, 1)
    return None


@functools.cache
def gemm(dtype: str) -> Gemm:
    """The routine for float32 or float64."""
    return next(_found(dtype))


def _found(dtype: str) -> Iterator[Gemm]:
    letter, scalar = _LETTERS[dtype], _SCALARS[dtype]
    for path in _loaded_libraries():
        library = ctypes.CDLL(path)
        for prefix, suffix, integer in (
            ("scipy_", "64_", ctypes.c_int64),
            ("scipy_", "", ctypes.c_int32),
            ("", "64_", ctypes.c_int64),
            ("", "", ctypes.c_int32),
        ):
            routine = getattr(library, f"{prefix}cblas_{letter}gemm{suffix}", None)
            if routine is not None:
                routine.argtypes = _cblas_arguments(integer, scalar)
                routine.restype = None
                yield Gemm(routine, path)
    yield Gemm(_from_scipy(letter, scalar), "scipy.linalg.cython_blas")


def _cblas_arguments(integer: Any, scalar: Any) -> list[Any]:
    pointer = ctypes.c_void_p
    flags, sizes = [ctypes.c_int] * 3, [integer] * 3
    return [*flags, *sizes, scalar, pointer, integer, pointer, integer, scalar, pointer, integer]


def _loaded_libraries() -> list[str]:
    """The OpenBLAS libraries of this process, NumPy's own first."""
    from threadpoolctl import threadpool_info

    found = [info["filepath"] for info in threadpool_info() if info["internal_api"] == "openblas"]
    return sorted(found, key=lambda path: "numpy" not in path)


def _from_scipy(letter: str, scalar: Any) -> Callable[..., None]:
    """SciPy's Fortran routine, which takes addresses and columns first, with the interface of cblas."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[f"{letter}gemm"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    routine = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
    letters = {_PLAIN: b"N", _TRANSPOSED: b"T"}

    def call(
        order: int,
        transa: int,
        transb: int,
        m: int,
        n: int,
        k: int,
        alpha: Any,
        a: int,
        lda: int,
        b: int,
        ldb: int,
        beta: Any,
        c: int,
        ldc: int,
    ) -> None:
        # Row by row is column by column of the transpose: out^T = b^T a^T.
        integers = [ctypes.c_int(value) for value in (n, m, k, ldb, lda, ldc)]
        flags = [ctypes.c_char(letters[value]) for value in (transb, transa)]
        n_, m_, k_, ldb_, lda_, ldc_ = (ctypes.addressof(value) for value in integers)
        tb, ta = (ctypes.addressof(value) for value in flags)
        factors = scalar(getattr(alpha, "value", alpha)), scalar(getattr(beta, "value", beta))
        alpha_, beta_ = (ctypes.addressof(value) for value in factors)
        routine(tb, ta, n_, m_, k_, alpha_, b, ldb_, a, lda_, beta_, c, ldc_)

    return call
