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

import numpy.typing as npt

Array = npt.NDArray[Any]
Call = Callable[[], object]

_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112
_LETTERS = {"float32": "s", "float64": "d"}
_SCALARS: dict[str, Any] = {"float32": ctypes.c_float, "float64": ctypes.c_double}


class Gemm(NamedTuple):
    """One BLAS routine: `call(order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`.

    Arguments are ctypes objects, made once: flags `c_int`, sizes of type `integer`, factors of type `scalar`,
    addresses `c_void_p`. Converting plain numbers would take longer than a small product itself.
    """

    call: Callable[..., None]
    integer: Any
    scalar: Any
    source: str


def multiply(a: Array, b: Array, out: Array, *, alpha: float = 1.0, beta: float = 0.0) -> Call | None:
    """A call that does out = alpha * a @ b + beta * out, or None where BLAS can not address an operand.

    Parameters
    ----------
    a, b, out : ndarray
        (m, k), (k, n) and (m, n) of one floating dtype, C- or F-ordered, also as part of a wider array. The
        memory of all three must outlive the call: it goes by address.
    """
    prepared = _arguments(a, b, out)
    if prepared is None:
        return None
    call, arguments, alpha_value, beta_value = prepared
    alpha_value.value, beta_value.value = alpha, beta
    return functools.partial(call, *arguments)


def prepare(a: Array, b: Array, out: Array) -> Callable[[float, float], None] | None:
    """As `multiply`, with alpha and beta given at each call; the call belongs to one thread at a time."""
    prepared = _arguments(a, b, out)
    if prepared is None:
        return None
    call, arguments, alpha_value, beta_value = prepared

    def run(alpha: float, beta: float) -> None:
        alpha_value.value = alpha
        beta_value.value = beta
        call(*arguments)

    return run


def _arguments(
    a: Array, b: Array, out: Array
) -> tuple[Callable[..., None], tuple[Any, ...], Any, Any] | None:
    """The routine, its arguments, and those two of them that hold alpha and beta."""
    if 0 in out.shape or 0 in a.shape:
        return None
    c = _leading(out)
    if c is None or c[0] == _TRANSPOSED:
        a, b, out = b.T, a.T, out.T
        c = _leading(out)
    left, right = _leading(a), _leading(b)
    if c is None or c[0] == _TRANSPOSED or left is None or right is None:
        return None
    routine = gemm(out.dtype.name)
    size, flag, address = routine.integer, ctypes.c_int, ctypes.c_void_p
    alpha, beta = routine.scalar(1), routine.scalar(0)
    arguments = (
        *(flag(value) for value in (_ROW_MAJOR, left[0], right[0])),
        *(size(value) for value in (a.shape[0], b.shape[1], a.shape[1])),
        *(alpha, address(a.ctypes.data), size(left[1]), address(b.ctypes.data), size(right[1])),
        *(beta, address(out.ctypes.data), size(c[1])),
    )
    return routine.call, arguments, alpha, beta


def _leading(x: Array) -> tuple[int, int] | None:
    """How BLAS addresses a matrix: plain or transposed, and the distance between rows in elements."""
    if not x.flags.aligned:  # a field of records: its steps may be no whole number of elements
        return None
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
                routine.restype = None
                yield Gemm(routine, integer, scalar, path)
    yield Gemm(_from_scipy(letter), ctypes.c_int, scalar, "scipy.linalg.cython_blas")


def _loaded_libraries() -> list[str]:
    """The OpenBLAS libraries of this process, NumPy's own first."""
    from threadpoolctl import threadpool_info

    found = [info["filepath"] for info in threadpool_info() if info["internal_api"] == "openblas"]
    return sorted(found, key=lambda path: "numpy" not in path)


def _from_scipy(letter: str) -> Callable[..., None]:
    """SciPy's Fortran routine, which takes addresses and columns first, with the interface of cblas."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[f"{letter}gemm"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    routine = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
    letters = {_PLAIN: ctypes.c_char(b"N"), _TRANSPOSED: ctypes.c_char(b"T")}
    where = ctypes.addressof

    def call(order: Any, transa: Any, transb: Any, m: Any, n: Any, k: Any, alpha: Any, *rest: Any) -> None:
        a, lda, b, ldb, beta, c, ldc = rest
        # Row by row is column by column of the transpose: out^T = b^T a^T.
        flags = where(letters[transb.value]), where(letters[transa.value])
        sizes = where(n), where(m), where(k)
        routine(*flags, *sizes, where(alpha), b, where(ldb), a, where(lda), where(beta), c, where(ldc))

    return call
