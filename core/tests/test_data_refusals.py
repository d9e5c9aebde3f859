"""What `Dataset` and `as_dataset` refuse, and in which words."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd.data import Dataset, DatasetSplits, as_dataset, checks
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError

Array = npt.NDArray[Any]

real_arrays = st.sampled_from(["f2", "f4", "f8"]).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.integers(-9, 9)
    )
)


@given(real_arrays, st.sampled_from([math.nan, math.inf, -math.inf]), st.data())
def test_one_number_that_is_not_finite_is_found_wherever_it_is(
    inputs: Array, value: float, choice: st.DataObject
) -> None:
    place = tuple(choice.draw(st.integers(0, extent - 1)) for extent in inputs.shape)
    inputs[place] = value
    with pytest.raises(ArgumentError, match=rf"^inputs: .*got -?(nan|inf) in example {place[0]} at "):
        Dataset(inputs, np.zeros(len(inputs), int))


def test_a_number_that_is_not_finite_is_found_in_a_later_block_of_rows() -> None:
    inputs = np.zeros((3 * checks.BLOCK_BYTES // 4000, 1000), np.float32)
    inputs[-2, 7] = math.nan
    with pytest.raises(ArgumentError, match=rf"example {len(inputs) - 2} at \(7,\)"):
        Dataset(inputs, np.zeros(len(inputs), int))


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (np.zeros(3), ShapeError, "reshape"),
        (3.0, ShapeError, "shape"),
        (np.zeros((0, 3)), ShapeError, "at least one"),
        (np.zeros((3, 0)), ShapeError, "at least one"),
        (np.zeros((3, 1), np.complex64), ArgumentTypeError, "complex64"),
        (np.zeros((3, 1), "M8[s]"), ArgumentTypeError, "datetime64"),
        (np.array([["a"]] * 3), ArgumentTypeError, "<U1"),
        (np.array([[None]] * 3), ArgumentTypeError, "object"),
        ([[1.0], [1.0, 2.0], [3.0]], ArgumentTypeError, "list"),
        (np.ma.masked_array(np.zeros((3, 1)), mask=[[True], [False], [False]]), ArgumentTypeError, "mask"),
        (None, ArgumentTypeError, "object"),
        ("mnist", ArgumentTypeError, "<U5"),
        (np.zeros(3, [("x", "f4")]), ArgumentTypeError, "expected an array of numbers"),
    ],
)
def test_inputs_that_can_not_be_used_are_refused_in_clear_words(
    inputs: Any, error: type[IsogradError], words: str
) -> None:
    with pytest.raises(error, match=rf"^inputs: .*{words}"):
        Dataset(inputs, [0, 1, 2])


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is double here")
def test_extended_precision_is_refused_with_advice_to_cast() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^inputs: .*astype"):
        Dataset(np.zeros((1, 1), np.longdouble), [0])


def test_an_array_that_refuses_to_come_to_the_host_is_reported_with_its_own_reason() -> None:
    class Elsewhere:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            raise RuntimeError("it lies on another device")

    with pytest.raises(ArgumentTypeError, match=r"^inputs: Elsewhere .*another device"):
        Dataset(Elsewhere(), [0])


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (np.eye(3, dtype=int), ShapeError, "argmax"),
        (np.zeros((3, 1), int), ShapeError, r"reshape\(-1\)"),
        (np.zeros((3, 1, 1), int), ShapeError, r"\(3, 1, 1\)"),
        (0, ShapeError, "shape"),
        (np.zeros(0, int), ShapeError, "at least one"),
        ([0.0, math.nan, 2.0], ArgumentError, "got nan in example 1$"),
        (np.zeros((3, 0)), ShapeError, r"\(3, 0\)"),
        (np.float32(0), ShapeError, "shape"),
        ([0j, 1j, 2j], ArgumentTypeError, "complex128"),
        ([True, False, True], ArgumentTypeError, "bool"),
        (["0", "1", "2"], ArgumentTypeError, "<U1"),
        ([0, -1, 2], ArgumentError, "got -1 to 2"),
        ([0, 1, 2**31], ArgumentError, str(2**31)),
        (np.array([0, 1, 2**64 - 1], np.uint64), ArgumentError, str(2**64 - 1)),
    ],
)
def test_labels_that_can_not_be_used_are_refused_in_clear_words(
    labels: Any, error: type[IsogradError], words: str
) -> None:
    with pytest.raises(error, match=rf"^labels: .*{words}"):
        Dataset(np.zeros((3, 2)), labels)


@given(st.integers(1, 9), st.integers(1, 9))
def test_inputs_and_labels_have_equal_lengths(examples: int, labels: int) -> None:
    inputs = np.zeros((examples, 2))
    if examples == labels:
        assert len(Dataset(inputs, [0] * labels)) == examples
    else:
        with pytest.raises(ShapeError, match=rf"{examples}, 2\).* {labels} labels"):
            Dataset(inputs, [0] * labels)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_is_finite_and_positive(scale: float) -> None:
    with pytest.raises(ArgumentError, match=r"^scale: "):
        Dataset([[1.0]], [0], scale=scale)


@pytest.mark.parametrize("scale", ["1", None, [1.0], 1j])
def test_a_scale_is_a_number(scale: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^scale: "):
        Dataset([[1.0]], [0], scale=scale)


@pytest.mark.parametrize("scale", [1, np.float32(0.5), Fraction(1, 256)])
def test_a_scale_becomes_a_python_float(scale: Any) -> None:
    assert type(Dataset([[1.0]], [0], scale=scale).scale) is float


def test_class_names_become_a_tuple_and_bound_the_labels() -> None:
    assert Dataset([[1.0], [2.0]], [0, 1], classes=["cat", "dog"]).classes == ("cat", "dog")
    with pytest.raises(ArgumentError, match=r"^labels: .*class name < 2.*got 0 to 2"):
        Dataset([[1.0], [2.0]], [0, 2], classes=["cat", "dog"])


@pytest.mark.parametrize("classes", ["cat", [1, 2], 3, {"cat": 1}])
def test_class_names_are_texts(classes: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^classes: "):
        Dataset([[1.0]], [0], classes=classes)


@pytest.mark.parametrize("classes", [[], ["cat", "cat"]])
def test_class_names_differ(classes: list[str]) -> None:
    with pytest.raises(ArgumentError, match=r"^classes: "):
        Dataset([[1.0]], [0], classes=classes)


def test_a_name_is_a_text() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^name: "):
        Dataset([[1.0]], [0], name=3)  # type: ignore[arg-type]


# --- as_dataset ---------------------------------------------------------------------------------------------


def test_a_data_set_passes_through_as_it_is() -> None:
    data = Dataset([[1.0]], [0])
    assert as_dataset(data) is data


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_pair_becomes_a_data_set(kind: type) -> None:
    inputs, labels = np.ones((3, 2), np.float32), np.arange(3)
    data = as_dataset(kind([inputs, labels]))
    assert np.shares_memory(data.inputs, inputs)
    assert data.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, ArgumentTypeError),
        (np.zeros((2, 2)), ArgumentTypeError),
        ({"x": 1, "y": 2}, ArgumentTypeError),
        ((np.zeros((2, 2)),), ArgumentTypeError),
        ((1, 2, 3), ArgumentTypeError),
        (DatasetSplits(Dataset([[1.0]], [0])), ArgumentTypeError),
        ((np.zeros((2, 2)), [0]), ShapeError),
        ((np.full((2, 2), np.nan), [0, 1]), ArgumentError),
        ((np.zeros((2, 2)), ["a", "b"]), ArgumentTypeError),
        ([(np.zeros(2), 0), (np.zeros(2), 1)], ArgumentTypeError),
    ],
)
def test_errors_name_the_argument(data: Any, error: type[IsogradError]) -> None:
    with pytest.raises(error, match=r"^validation_data: "):
        as_dataset(data, "validation_data")
