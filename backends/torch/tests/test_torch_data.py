"""Data move between NumPy and PyTorch without a copy where the layout allows it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isograd import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from isograd.graph import DTYPES
from isograd_conformance.profiles import examples
from isograd_torch import backend as backend_module
from isograd_torch.backend import TorchBackend

BACKEND = TorchBackend()


@given(
    hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)), st.booleans()
)
@examples(50)
def test_a_read_only_array_becomes_a_tensor_of_the_same_memory_without_a_warning(
    array: np.ndarray, writeable: bool
) -> None:
    array.flags.writeable = writeable
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = BACKEND.to_device(array, "cpu")
    assert tuple(tensor.shape) == array.shape
    assert not array.size or tensor.data_ptr() == array.ctypes.data
    assert array.flags.writeable is writeable
    assert BACKEND.to_host(tensor).tobytes() == array.tobytes()


def test_the_memory_of_an_array_lives_as_long_as_its_tensor() -> None:
    array = np.full(100_000, 7.0)
    array.flags.writeable = False
    tensor = BACKEND.to_device(array, "cpu")
    del array
    others = [np.zeros(100_000) for _ in range(5)]
    assert bool((tensor == 7).all())
    assert not any(other.any() for other in others)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_tensors_are_data_without_a_copy(dtype: torch.dtype) -> None:
    images, labels = (
        torch.ones((6, 1, 4, 4), dtype=dtype),
        torch.tensor([0, 1, 2, 0, 1, 2], dtype=torch.int32),
    )
    data = Dataset(images, labels)
    assert data.inputs.ctypes.data == images.data_ptr()
    assert data.labels.ctypes.data == labels.data_ptr()
    moved = BACKEND.to_device(data.inputs, "cpu")
    assert moved.data_ptr() == images.data_ptr()


def test_a_tensor_that_records_gradients_is_refused_with_what_to_do() -> None:
    images = torch.ones((2, 3), requires_grad=True)
    with pytest.raises(ArgumentTypeError, match=r"inputs: Tensor is no array: .*detach"):
        Dataset(images, [0, 1])


def test_arrays_of_another_library_are_refused_by_name() -> None:
    from isograd import graph as G

    x = G.variable("x", (2,))
    compiled = BACKEND.compile(G.Function({"x": x}, {"y": x + x}), "cpu")
    with pytest.raises(ArgumentTypeError, match=r"x is a ndarray; expected a torch.Tensor"):
        compiled({"x": np.zeros(2, "float32")}, {})
    with pytest.raises(ArgumentError, match="x lies on meta; expected it on cpu"):
        compiled({"x": torch.zeros(2, device="meta")}, {})


def test_a_device_without_double_precision_says_so() -> None:
    backend_module._check_dtype("float32", "mps:0")
    with pytest.raises(UnsupportedError, match=r"'mps:0' .* has no float64; use float32 or cpu"):
        backend_module._check_dtype("float64", "mps:0")


@pytest.fixture
def full_precision() -> Iterator[None]:
    """Both switches off for a while."""
    switches = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "ieee"
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.fp32_precision = value


@pytest.mark.usefixtures("full_precision")
def test_reduced_precision_is_declared_as_it_is_switched_on() -> None:
    before = BACKEND.compilation_key("cuda:0")
    assert BACKEND.precision("float32", "cuda:0") == "float32"
    for switch in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
        switch.fp32_precision = "tf32"
        assert BACKEND.precision("float32", "cuda:0") == "tf32"
        assert BACKEND.precision("float64", "cuda:0") == "float64"
        assert BACKEND.precision("float32", "cpu") == "float32"
        assert BACKEND.compilation_key("cuda:0") != before
        switch.fp32_precision = "ieee"
