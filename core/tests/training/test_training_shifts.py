"""Predictions averaged over small shifts of the images: their mean, how it is counted, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, IsogradError, ShapeError
from isograd.evaluation import CHUNK_ROWS
from isograd.layers import FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend

Make = Callable[..., Any]
Array = npt.NDArray[Any]


def make(input_shape: tuple[int, ...] = (2, 3, 4), dtype: str = "float32") -> Network:
    return Network(
        [FullyConnected(3, "tanh"), Softmax(3, weight_init="n_in")], input_shape, 5, init="n_in", dtype=dtype
    )


def digits(n: int, shape: tuple[int, ...] = (2, 3, 4), dtype: str = "uint8") -> Dataset:
    generator = np.random.default_rng(n)
    inputs = generator.integers(1, 256, (n, *shape)).astype(dtype)
    return Dataset(inputs, generator.integers(0, 3, n), scale=1 / 256)


def moved(images: Array, down: int, right: int) -> Array:
    """Pixel by pixel: what was at (y, x) is at (y + down, x + right), or gone."""
    result = np.zeros_like(images)
    height, width = images.shape[2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                result[:, :, y, x] = images[:, :, y - down, x - right]
    return result


@settings(max_examples=12)
@given(
    examples=st.integers(1, 9) | st.sampled_from([CHUNK_ROWS, CHUNK_ROWS + 2]),
    shifts=st.integers(1, 2),
    pixels=st.sampled_from(["uint8", "float32", "float64"]),
    dtype=st.sampled_from(["float32", "float64"]),
    flat=st.sampled_from([None, "data", "network"]),
)
def test_probabilities_are_the_mean_over_all_shifts_with_zeros_moving_in(
    backend: ReferenceBackend, examples: int, shifts: int, pixels: str, dtype: str, flat: str | None
) -> None:
    """Images by the shape of the network's input or of the data, whichever is not flat."""
    network = make((24,) if flat == "network" else (2, 3, 4), dtype)
    data = digits(examples, dtype=pixels)
    ways = range(-shifts, shifts + 1)
    images = [moved(data.inputs, down, right) for down in ways for right in ways]
    each = [
        network.predict_proba(Dataset(image, data.labels, scale=data.scale), backend=backend)
        for image in images
    ]
    expected = np.mean(each, axis=0, dtype=np.float64)
    given_data = data.reshape((24,)) if flat == "data" else data
    found = network.predict_proba(given_data, backend=backend, shifts=shifts)
    assert (found.shape, found.dtype) == ((examples, 3), network.dtype)
    # Two sums in double precision of at most 25 numbers below 1, of mean below 1; and the rounding to dtype.
    bound = 2 * 26 * 2.0**-53 + (2.0**-24 if dtype == "float32" else 0)
    assert np.all(np.abs(found - expected) <= bound)
    classes = network.predict(given_data, backend=backend, shifts=shifts)
    assert (classes.shape, classes.dtype) == ((examples,), np.int32)
    assert classes.tolist() == found.argmax(axis=1).tolist()
    right = int(np.count_nonzero(classes == data.labels))
    assert network.accuracy(given_data, backend=backend, shifts=shifts) == right / examples


def test_of_equal_means_the_class_is_the_first(backend: ReferenceBackend) -> None:
    network = make()
    for array in network.parameters.values():
        array[:] = 0
    assert network.predict(digits(4), backend=backend, shifts=1).tolist() == [0] * 4


def test_no_shifts_are_the_prediction_itself_to_the_last_bit(backend: ReferenceBackend) -> None:
    network, data = make(), digits(7)
    plain = network.predict_proba(data, backend=backend)
    assert network.predict_proba(data, backend=backend, shifts=0).tobytes() == plain.tobytes()
    assert network.accuracy(data, backend=backend, shifts=0) == network.accuracy(data, backend=backend)


def test_any_number_of_examples_passes_through_one_compiled_function_a_chunk_at_a_time(
    recording_backend: Make,
) -> None:
    backend, network = recording_backend(), make()
    for examples in (1, CHUNK_ROWS + 1):
        network.predict(digits(examples), backend=backend, shifts=2)
        network.accuracy(digits(examples), backend=backend, shifts=2)
    (function,) = backend.compiled
    assert max(node.size for node in function.nodes) <= CHUNK_ROWS * 2 * (3 + 4) * (4 + 4)


@pytest.mark.parametrize(
    ("shape", "shifts", "error", "message"),
    [
        ((2, 3, 4), -1, ArgumentError, "shifts is -1; expected at least 0"),
        ((2, 3, 4), 1.5, ArgumentTypeError, "shifts is 1.5; expected a whole number"),
        ((2, 3, 4), True, ArgumentTypeError, "shifts is True"),
        ((2, 3, 4), 3, ArgumentError, "shifts is 3; expected less than .* height and width, 3 and 4"),
        ((24,), 1, ShapeError, r"shifts needs images .* input_shape is \[24\], .* the shape \[24\]"),
        ((6, 4), 1, ShapeError, r"shifts needs images .* \[6, 4\]"),
    ],
)
def test_bad_shifts_are_refused_before_anything_is_computed(
    recording_backend: Make, shape: tuple[int, ...], shifts: Any, error: type[IsogradError], message: str
) -> None:
    backend, network, data = recording_backend(), make(shape), digits(3, shape)
    for ask in (network.predict, network.predict_proba, network.accuracy):
        with pytest.raises(error, match=message):
            ask(data, backend=backend, shifts=shifts)
    assert not backend.compiled
