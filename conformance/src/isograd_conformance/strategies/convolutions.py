"""Convolutions of any geometry."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from isograd import graph as G

# Image, filters and the attributes.
Drawn = tuple[G.Tensor, G.Tensor, dict[str, Any]]


@st.composite
def convolutions(draw: st.DrawFn, dtypes: tuple[str, ...]) -> Drawn:
    """An image, filters that fit, and the settings: borders that no window reaches, groups, one pixel."""
    dtype, groups = draw(st.sampled_from(dtypes)), draw(st.sampled_from([1, 1, 2, 3]))
    few, kernels, steps = st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 1, 1, 2, 3])
    kernel, extra = (draw(st.tuples(kernels, kernels)) for _ in range(2))
    stride, dilation = (draw(st.tuples(steps, steps)) for _ in range(2))
    size = [d * (k - 1) + e for k, e, d in zip(kernel, extra, dilation, strict=True)]
    ins = draw(few)
    x = G.variable("x", (draw(few), ins * groups, *size), dtype)
    w = G.variable("w", (draw(few) * groups, ins, *kernel), dtype)
    return x, w, {"stride": stride, "dilation": dilation, "groups": groups}
