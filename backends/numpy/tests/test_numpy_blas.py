"""The products of BLAS: every layout it can address, both libraries, and None for what it can not address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from isograd_numpy import blas

Array = np.ndarray[Any, Any]
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
SIZE = st.integers(1, 5)
DTYPES = st.sampled_from(["float32", "float64"])
LOADED_LIBRARIES = blas._loaded_libraries
FACTOR = st.sampled_from([1.0, 0.0, -1.0, 0.5, 0.1, 3.0])


@pytest.fixture(scope="module", params=["NumPy's library", "SciPy"])
def source(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the routine is found."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "SciPy":
            patch.setattr(blas, "_loaded_libraries", list)
        blas.gemm.cache_clear()
        yield request.param
    blas.gemm.cache_clear()


@st.composite
def matrices(draw: st.DrawFn, rows: int, columns: int, dtype: str) -> Array:
    """A matrix of random numbers within memory of any kind that BLAS can address."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    down, right = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    order = draw(st.sampled_from("CF"))
    shape = (rows + (down if order == "F" else 0), columns + (right if order == "C" else 0))
    memory = np.asarray(rng.normal(size=shape), dtype, order=order)
    return memory[:rows, :columns]


@given(data=st.data(), m=SIZE, k=SIZE, n=SIZE, dtype=DTYPES, alpha=FACTOR, beta=FACTOR)
def test_a_product_of_matrices_in_any_layout(
    source: str, data: st.DataObject, m: int, k: int, n: int, dtype: str, alpha: float, beta: float
) -> None:
    """Within gamma_{k+2} of the sum of |terms| (Higham, "Accuracy and Stability", section 3.5)."""
    a, b, out = (data.draw(matrices(*shape, dtype)) for shape in ((m, k), (k, n), (m, n)))
    around = out.base.copy() if out.base is not None else out.copy()
    exact = [x.astype("float64") for x in (a, b, out)]
    factors = [float(np.asarray(f, dtype)) for f in (alpha, beta)]
    call = blas.multiply(a, b, out, alpha=alpha, beta=beta)
    assert call is not None
    call()
    expected = factors[0] * np.einsum("ik,kj->ij", *exact[:2]) + factors[1] * exact[2]
    terms = abs(factors[0]) * np.einsum("ik,kj->ij", *map(abs, exact[:2])) + abs(factors[1] * exact[2])
    assert (abs(out - expected) <= 2 * (k + 3) * UNIT[dtype] * terms).all()
    if out.base is not None:  # what lies between the rows is not touched
        out[...] = exact[2]
        assert out.base.tobytes() == around.tobytes()


@given(data=st.data(), m=SIZE, k=SIZE, n=SIZE, dtype=DTYPES)
def test_factors_may_change_from_call_to_call_and_operands_are_read_again(
    source: str, data: st.DataObject, m: int, k: int, n: int, dtype: str
) -> None:
    a, b, out = (data.draw(matrices(*shape, dtype)) for shape in ((m, k), (k, n), (m, n)))
    run = blas.prepare(a, b, out)
    assert run is not None
    a[...], b[...], out[...] = 1, 2, 3
    run(1.0, 0.0)
    np.testing.assert_array_equal(out, np.full((m, n), 2 * k))
    b[...] = 1
    run(-2.0, 1.0)
    np.testing.assert_array_equal(out, np.zeros((m, n)))


def test_without_a_share_of_the_old_value_not_even_its_nan_remains(source: str) -> None:
    out = np.full((2, 2), np.nan)
    call = blas.multiply(np.eye(2), np.eye(2), out)
    assert call is not None
    call()
    np.testing.assert_array_equal(out, np.eye(2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_routine_is_the_one_of_the_source(source: str, dtype: str) -> None:
    assert (blas.gemm(dtype).source == "scipy.linalg.cython_blas") == (source == "SciPy")


def test_numpys_own_library_comes_first_and_others_than_openblas_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = [("openblas", "/scipy.libs/b.so"), ("openmp", "/gomp.so"), ("openblas", "/numpy.libs/b.so")]
    found = [{"internal_api": api, "filepath": path} for api, path in loaded]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: found)
    assert LOADED_LIBRARIES() == ["/numpy.libs/b.so", "/scipy.libs/b.so"]


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((4, 6))[:, ::2],
        np.ones((4, 3))[::-1],
        np.ones((4, 3))[:, ::-1],
        np.broadcast_to(np.ones(3), (4, 3)),
        np.broadcast_to(np.ones((4, 1)), (4, 3)),
        np.zeros((4, 3), [("first", "u1"), ("second", "f8")])["second"],
    ],
    ids=[
        "every second column",
        "rows reversed",
        "columns reversed",
        "one row",
        "one column",
        "a field of records",
    ],
)
def test_what_blas_can_not_address_is_refused(wrong: Array) -> None:
    assert wrong.shape == (4, 3)
    assert blas.multiply(wrong, np.ones((3, 2)), np.empty((4, 2))) is None
    assert blas.multiply(np.ones((2, 4)), wrong, np.empty((2, 3))) is None
    assert blas.multiply(np.ones((4, 2)), np.ones((2, 3)), wrong) is None


@pytest.mark.parametrize(("m", "k", "n"), [(0, 2, 3), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
def test_there_is_no_call_where_there_is_nothing_to_multiply(m: int, k: int, n: int) -> None:
    assert blas.prepare(np.ones((m, k)), np.ones((k, n)), np.ones((m, n))) is None
