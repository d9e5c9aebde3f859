"""The indices of windows pick what convolutions and poolings read, by the reference evaluation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isograd.graph.reference import REFERENCE
from isograd.graph.windows import plane_indices, window_indices

SEED, BATCH = st.integers(0, 2**32 - 1), st.integers(0, 2)
PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def whole(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Small whole numbers: their sums and products are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, size=shape).astype("float32")


@given(
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(0, 2),
    border=PAIR,
    window=PAIR,
    stride=PAIR,
    dilation=PAIR,
)
def test_the_windows_of_an_image_are_what_a_convolution_multiplies(
    seed: int, batch: int, border: tuple, window: tuple, stride: tuple, dilation: tuple
) -> None:
    size = [d * (k - 1) + b for b, k, d in zip(border, window, dilation, strict=True)]
    x, w = whole(seed, (batch, 2, *size)), whole(seed + 1, (3, 2, *window))
    seen = x[:, :, *window_indices(size, window, stride, dilation)]
    expected = REFERENCE["conv2d"](x, w, stride=stride, dilation=dilation, groups=1)
    assert np.array_equal(np.einsum("ncijuv,ocuv->noij", seen, w), expected)


@given(seed=SEED, batch=BATCH, border=PAIR, window=PAIR, stride=PAIR)
def test_an_index_of_max_pooling_points_to_the_maximum(
    seed: int, batch: int, border: tuple, window: tuple, stride: tuple
) -> None:
    size = [k - 1 + b for b, k in zip(border, window, strict=True)]
    x = whole(seed, (batch, 3, *size))
    index = REFERENCE["max_pool2d_index"](x, window=window, stride=stride).astype("int32")
    found = x[plane_indices(index, size[1])]
    assert np.array_equal(found, REFERENCE["pool_gather2d"](x, index))
    assert np.array_equal(found, x[:, :, *window_indices(size, window, stride)].max(axis=(4, 5)))
