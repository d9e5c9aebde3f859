"""`Dataset` and `DatasetSplits`: what is kept, how parts are made, what the fingerprint covers."""

from __future__ import annotations

import copy
import hashlib
import math
import pickle
import struct
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd.data import Dataset, DatasetSplits, checks
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError

Array = npt.NDArray[Any]

feature_shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)


@st.composite
def arrays(draw: st.DrawFn, dtypes: st.SearchStrategy[Any]) -> Array:
    """Finite inputs of shape (n, *features)."""
    shape = (draw(st.integers(1, 12)), *draw(feature_shapes))
    dtype = np.dtype(draw(dtypes))
    limits: dict[str, Any] = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, **limits)))


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    inputs = draw(arrays(st.sampled_from(["u1", "f4", "f8"])))
    labels = draw(hnp.arrays(np.int32, len(inputs), elements=st.integers(0, 9)))
    return Dataset(inputs, labels, scale=draw(st.sampled_from([1.0, 1 / 256, 0.1])), name="some")


def labels_for(inputs: Array) -> Array:
    return np.zeros(len(inputs), np.int32)


def same(one: Dataset, other: Dataset) -> bool:
    return (
        one.inputs.dtype == other.inputs.dtype
        and np.array_equal(one.inputs, other.inputs)
        and np.array_equal(one.labels, other.labels)
        and (one.scale, one.classes, one.name) == (other.scale, other.classes, other.name)
    )


# --- What is kept -------------------------------------------------------------------------------------------


@given(arrays(st.sampled_from(["u1", "f4", "f8"])))
def test_inputs_of_a_kept_dtype_are_viewed_and_never_copied(inputs: Array) -> None:
    data = Dataset(inputs, labels_for(inputs))
    assert data.inputs.dtype == inputs.dtype
    assert np.shares_memory(data.inputs, inputs)
    assert np.array_equal(data.inputs, inputs)
    assert data.feature_shape == inputs.shape[1:]
    assert len(data) == len(inputs)


@given(arrays(st.sampled_from(["?", "i1", "i2", "u2", "f2", "i4", "u4", ">f4", ">i2", ">f8", "<u2"])))
def test_other_dtypes_are_converted_without_changing_a_value(inputs: Array) -> None:
    data = Dataset(inputs, labels_for(inputs))
    assert data.inputs.dtype in (np.uint8, np.float32, np.float64)
    assert data.inputs.dtype.isnative
    assert [Fraction(one) for one in data.inputs.ravel().tolist()] == [
        Fraction(one) for one in inputs.ravel().tolist()
    ]


@given(arrays(st.sampled_from(["i8", "u8"])))
def test_64_bit_integers_are_kept_exactly_or_refused(inputs: Array) -> None:
    if max(map(abs, inputs.ravel().tolist())) <= 2**53:
        data = Dataset(inputs, labels_for(inputs))
        assert data.inputs.dtype == np.float64
        assert list(map(int, data.inputs.ravel())) == inputs.ravel().tolist()
    else:
        with pytest.raises(ArgumentError, match=r"^inputs: .*2\*\*53"):
            Dataset(inputs, labels_for(inputs))


def test_lists_of_numbers_are_arrays() -> None:
    data = Dataset([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0])
    assert data.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_labels_of_any_integer_dtype_become_int32(dtype: str) -> None:
    data = Dataset(np.zeros((3, 2), np.uint8), np.array([0, 9, 100], dtype))
    assert data.labels.dtype == np.int32
    assert data.labels.dtype.isnative
    assert data.labels.tolist() == [0, 9, 100]


def test_int32_labels_are_viewed_and_not_copied() -> None:
    labels = np.arange(5, dtype=np.int32)
    assert np.shares_memory(Dataset(np.zeros((5, 1)), labels).labels, labels)


def test_inputs_that_are_not_contiguous_are_viewed_too() -> None:
    whole = np.arange(60, dtype=np.float32).reshape(5, 3, 4)
    data = Dataset(whole[::2].transpose(0, 2, 1), [0, 1, 2])
    assert np.shares_memory(data.inputs, whole)


@given(datasets())
def test_arrays_are_read_only_and_the_originals_stay_writeable(data: Dataset) -> None:
    original = np.array(data.inputs)
    again = Dataset(original, data.labels)
    assert original.flags.writeable
    parts = [again, again[:1], again.take([0]), again.reshape((math.prod(again.feature_shape),))]
    for part in parts:
        with pytest.raises(ValueError, match="read-only"):
            part.inputs[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            part.labels[...] = 0


def test_a_data_set_is_frozen() -> None:
    data = Dataset([[1.0]], [0])
    with pytest.raises(AttributeError):
        data.scale = 2.0  # type: ignore[misc]


@given(datasets())
def test_copies_and_pickles_are_equal_and_read_only(data: Dataset) -> None:
    for other in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert same(other, data)
        assert not other.inputs.flags.writeable
        assert not other.labels.flags.writeable


def test_the_repr_is_one_line_whatever_the_size() -> None:
    data = Dataset(np.zeros((1000, 28, 28), np.uint8), np.arange(1000) % 10, scale=1 / 256, name="digits")
    assert repr(data) == ("Dataset('digits', 1000 examples of (28, 28) uint8, scale=0.00390625, labels 0..9)")


# --- Parts --------------------------------------------------------------------------------------------------


@given(datasets(), st.data())
def test_a_slice_selects_as_for_an_array(data: Dataset, choice: st.DataObject) -> None:
    rows = choice.draw(st.slices(len(data)))
    expected = data.inputs[rows]
    if not len(expected):
        with pytest.raises(ShapeError, match="empty"):
            data[rows]
        return
    part = data[rows]
    assert np.array_equal(part.inputs, expected)
    assert np.array_equal(part.labels, data.labels[rows])
    assert np.shares_memory(part.inputs, data.inputs)
    assert (part.scale, part.classes, part.name) == (data.scale, data.classes, data.name)


@given(datasets(), st.data())
def test_take_selects_by_index_in_order_with_repetitions(data: Dataset, choice: st.DataObject) -> None:
    indices = choice.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=20))
    part = data.take(indices)
    assert part.labels.tolist() == [int(data.labels[index]) for index in indices]
    assert all(np.array_equal(part.inputs[row], data.inputs[index]) for row, index in enumerate(indices))


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([3], ArgumentError),
        ([-1], ArgumentError),
        ([0.0], ArgumentTypeError),
        ([True, False, True], ArgumentTypeError),
        ([[0]], ShapeError),
        (np.array([], int), ShapeError),
    ],
)
def test_take_refuses_other_indices(indices: Any, error: type[IsogradError]) -> None:
    with pytest.raises(error):
        Dataset([[1.0], [2.0], [3.0]], [0, 1, 2]).take(indices)


def test_an_integer_index_is_refused_with_advice_and_iteration_too() -> None:
    data = Dataset([[1.0], [2.0]], [0, 1])
    with pytest.raises(ArgumentTypeError, match=r"take\(\)"):
        data[0]  # type: ignore[index]
    with pytest.raises(TypeError):
        _x, _y = data  # type: ignore[misc]


@given(datasets())
def test_reshape_keeps_every_value_in_order(data: Dataset) -> None:
    flat = data.reshape((math.prod(data.feature_shape),))
    assert np.array_equal(flat.inputs, data.inputs.reshape(len(data), -1))
    assert same(flat.reshape(data.feature_shape), data)


@pytest.mark.parametrize("shape", [(5,), (2, 2), (-1,), (0, 6), (2, -3)])
def test_reshape_refuses_another_number_of_elements(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"^feature_shape: "):
        Dataset(np.zeros((4, 6)), [0, 0, 0, 0]).reshape(shape)


def test_parts_of_checked_data_are_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset(np.zeros((4, 6)), [0, 1, 2, 3])

    def fail(array: Array) -> None:
        raise AssertionError("checked twice")

    monkeypatch.setattr(checks, "_check_finite", fail)
    assert len(data[1:].take([0, 2]).reshape((2, 3))) == 2


# --- The fingerprint ----------------------------------------------------------------------------------------


@given(datasets())
def test_the_fingerprint_follows_its_documentation(data: Dataset) -> None:
    kind = {"uint8": "B", "float32": "f", "float64": "d"}[str(data.inputs.dtype)]
    content = f"{data.inputs.dtype} {data.inputs.shape} {data.scale.hex()}".encode()
    content += struct.pack(f"<{data.inputs.size}{kind}", *data.inputs.ravel().tolist())
    content += struct.pack(f"<{len(data)}i", *data.labels.tolist())
    assert data.fingerprint() == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_the_fingerprint_of_data_of_several_blocks_is_that_of_the_whole() -> None:
    rows = 3 * checks.BLOCK_BYTES // 1000
    inputs = np.random.default_rng(0).integers(0, 256, (rows, 1000), np.uint8)
    labels = np.arange(rows, dtype=np.int32)
    content = (
        f"uint8 {inputs.shape} {(1.0).hex()}".encode() + inputs.tobytes() + labels.astype("<i4").tobytes()
    )
    expected = hashlib.blake2b(content, digest_size=16).hexdigest()
    assert Dataset(inputs, labels).fingerprint() == expected
    assert Dataset(np.asfortranarray(inputs), labels).fingerprint() == expected


@given(datasets(), st.data())
def test_the_fingerprint_changes_with_any_content(data: Dataset, choice: st.DataObject) -> None:
    inputs, labels = np.array(data.inputs), np.array(data.labels)
    inputs.flat[choice.draw(st.integers(0, inputs.size - 1))] += 1
    labels[choice.draw(st.integers(0, len(labels) - 1))] += 1
    others = [
        Dataset(data.inputs, labels, scale=data.scale),
        Dataset(data.inputs, data.labels, scale=data.scale * 2),
        Dataset(data.inputs[..., np.newaxis], data.labels, scale=data.scale),
    ]
    if not np.array_equal(inputs, data.inputs) and np.isfinite(inputs).all():
        others.append(Dataset(inputs, data.labels, scale=data.scale))
    assert data.fingerprint() not in {other.fingerprint() for other in others}


def test_the_fingerprint_does_not_cover_names() -> None:
    one = Dataset([[1.0]], [0], name="one", classes=["a"])
    assert one.fingerprint() == Dataset([[1.0]], [0], name="other").fingerprint()


# --- DatasetSplits ------------------------------------------------------------------------------------------


def test_splits_unpack_into_three() -> None:
    one = Dataset([[1.0]], [0])
    training, validation, test = DatasetSplits(one, test=one)
    assert training is one
    assert validation is None
    assert test is one


@given(datasets(), st.integers(-2, 14))
def test_hold_out_takes_the_last_examples_and_loses_none(data: Dataset, size: int) -> None:
    splits = DatasetSplits(data, test=data)
    if not 0 < size < len(data):
        with pytest.raises(ArgumentError, match=r"^validation_size: "):
            splits.hold_out(size)
        return
    training, validation, test = splits.hold_out(size)
    assert validation is not None
    assert len(validation) == size
    assert np.array_equal(np.concatenate([training.inputs, validation.inputs]), data.inputs)
    assert np.array_equal(np.concatenate([training.labels, validation.labels]), data.labels)
    assert test is data


def test_hold_out_refuses_to_replace_a_validation_set() -> None:
    one = Dataset([[1.0], [2.0]], [0, 1])
    with pytest.raises(ArgumentError, match="already"):
        DatasetSplits(one, one).hold_out(1)


def test_map_changes_each_part_that_there_is() -> None:
    one = Dataset(np.zeros((2, 6)), [0, 1])
    changed = DatasetSplits(one, test=one).map(lambda part: part.reshape((2, 3)))
    assert changed.training.feature_shape == (2, 3)
    assert changed.validation is None
    assert changed.test is not None
    assert changed.test.feature_shape == (2, 3)


@given(names=st.none() | st.lists(st.text(), min_size=1, max_size=4, unique=True), number=st.integers(0, 9))
def test_a_class_is_called_by_its_name_or_where_it_has_none_by_its_number(
    names: list[str] | None, number: int
) -> None:
    data = Dataset(np.zeros((1, 1)), [0], classes=names)
    expected = names[number] if names is not None and number < len(names) else str(number)
    assert data.class_name(number) == expected


# --- values and weights -------------------------------------------------------------------------------------


@given(
    st.sampled_from(["f4", "f8"]),
    st.lists(st.integers(1, 3), max_size=2),
    st.none() | st.sampled_from(["f4", "f8", "i8"]),
    st.integers(1, 6),
    st.data(),
)
def test_values_and_weights_are_kept_and_go_with_their_examples(
    dtype: str, shape: list[int], weighted: str | None, n: int, data: st.DataObject
) -> None:
    labels = np.arange(n * math.prod(shape), dtype=dtype).reshape(n, *shape)
    weights = None if weighted is None else np.arange(1, n + 1, dtype=weighted)
    made = Dataset(np.arange(n)[:, None], labels, weights=weights)
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1))
    for part, chosen in ((made.take(rows), rows), (made[: rows[0] + 1], list(range(rows[0] + 1)))):
        assert part.labels.tolist() == labels[chosen].tolist()
        assert (part.labels.dtype, part.has_classes) == (labels.dtype, False)
        if weights is None:
            assert part.weights is None
        else:
            assert part.weights is not None
            assert part.weights.tolist() == weights[chosen].tolist()
    for array in pickle.loads(pickle.dumps(made)).arrays().values():
        assert not array.flags.writeable


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([1.0], ShapeError, r"shape \(2,\), got \(1,\)"),
        ([[1.0], [1.0]], ShapeError, r"got \(2, 1\)"),
        ([1.0, -1.0], ArgumentError, "got -1.0 to 1.0"),
        ([0, 0], ArgumentError, "one above"),
        ([1.0, math.inf], ArgumentError, "got inf in example 1$"),
        (["a", "b"], ArgumentTypeError, "<U1"),
    ],
)
def test_weights_that_can_not_be_used_are_refused(weights: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^weights: .*{words}"):
        Dataset([[1.0], [2.0]], [0, 1], weights=weights)


def test_the_fingerprint_tells_values_from_classes_and_covers_weights() -> None:
    inputs = [[1.0], [2.0]]
    made = [
        Dataset(inputs, [0, 1]),
        Dataset(inputs, [0.0, 1.0]),
        Dataset(inputs, [[0.0], [1.0]]),
        Dataset(inputs, np.array([0, 1], np.float32)),
        Dataset(inputs, [0, 1], weights=[1.0, 1.0]),
        Dataset(inputs, [0, 1], weights=[1.0, 2.0]),
        Dataset(inputs, [0, 1], weights=np.array([1, 1], np.float32)),
    ]
    assert len({data.fingerprint() for data in made}) == len(made)
