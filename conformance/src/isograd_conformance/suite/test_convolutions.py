"""Convolutions in every role: with their gradients, as updates of their filters, of nothing, beside a NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.checks import check
from isograd_conformance.profiles import examples
from isograd_conformance.strategies.arrays import SEEDS, normal
from isograd_conformance.strategies.convolutions import convolutions
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("fusion")


@given(data=st.data(), seed=SEEDS)
@examples(12)
def test_a_convolution_and_its_gradients(subject: Subject, data: st.DataObject, seed: int) -> None:
    x, w, attributes = data.draw(convolutions(subject.floating))
    y = G.conv2d(x, w, **attributes)
    g = G.variable("g", y.shape, y.dtype)
    outputs = {
        "y": y,
        "dx": G.conv2d_dx(g, w, input_size=x.shape[2:], **attributes),
        "dw": G.conv2d_dw(x, g, filter_size=w.shape[2:], **attributes),
    }
    inputs = {"x": x, "w": w, "g": g}
    check(subject, G.Function(inputs, outputs), normal(seed, inputs))


@pytest.mark.parametrize("momentum", [False, True], ids=["plain", "momentum"])
@given(data=st.data(), seed=SEEDS)
@examples(4)
def test_filters_that_are_state_learn(
    momentum: bool, subject: Subject, data: st.DataObject, seed: int
) -> None:
    x, w, attributes = data.draw(convolutions(subject.floating))
    v, eta = G.variable("v", w.shape, w.dtype), G.variable("eta", (), w.dtype)
    y = G.conv2d(x, w, **attributes)
    cost = (y * y).sum()
    gradient = G.grad(cost, w) + w * 0.125
    step = v * 0.75 - gradient * eta if momentum else -(gradient * eta)
    updates = {"v": step, "w": w + step} if momentum else {"w": w + step}
    function = G.Function({"x": x, "eta": eta}, {"cost": cost}, {"w": w, "v": v}, updates)
    values = normal(seed, {"x": x, "w": w, "v": v, "eta": eta})
    check(subject, function, {n: values[n] for n in ("x", "eta")}, {n: values[n] for n in ("w", "v")})


@given(data=st.data(), seed=SEEDS)
@examples(4)
def test_filters_shared_by_convolutions_of_different_geometry(
    subject: Subject, data: st.DataObject, seed: int
) -> None:
    x, w, attributes = data.draw(convolutions(subject.floating))
    one = G.conv2d(x, w, **attributes)
    other = G.conv2d(x, w, stride=(2, 1), groups=attributes["groups"])
    cost = one.sum() + (other * other).sum()
    function = G.Function({"x": x}, {"cost": cost}, {"w": w}, {"w": w - G.grad(cost, w) * 0.5})
    values = normal(seed, {"x": x, "w": w})
    check(subject, function, {"x": values["x"]}, {"w": values["w"]})


@pytest.mark.parametrize(
    ("image", "maps", "channels"), [((0, 2, 3, 3), 2, 2), ((2, 0, 3, 3), 2, 0), ((2, 2, 3, 3), 0, 2)]
)
def test_no_images_no_channels_or_no_maps(
    image: tuple[int, ...], maps: int, channels: int, subject: Subject
) -> None:
    dtype = subject.floating[0]
    x, w = G.variable("x", image, dtype), G.variable("w", (maps, channels, 2, 2), dtype)
    cost = (G.conv2d(x, w) * 2.0).sum()
    dx, dw = G.grad(cost, [x, w])
    values = normal(0, {"x": x, "w": w})
    function = G.Function({"x": x}, {"cost": cost, "dx": dx, "dw": dw}, {"w": w}, {"w": w * 0.5 - dw})
    found = check(subject, function, {"x": values["x"]}, {"w": values["w"]})
    assert not found.outputs["dw"].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_bad_pixel_reaches_exactly_the_outputs_whose_windows_see_it(bad: float, subject: Subject) -> None:
    if subject.capabilities.normwise_convolution:
        pytest.skip(f"{subject.specification} declares normwise_convolution: transforms spread a NaN")
    dtype = subject.floating[0]
    x, w = G.variable("x", (2, 2, 5, 4), dtype), G.variable("w", (3, 2, 2, 3), dtype)
    rng = np.random.default_rng(0)
    pixels, filters = rng.normal(size=x.shape).astype(dtype), rng.normal(size=w.shape).astype(dtype)
    pixels[1, 0, 2, 1] = bad
    check(subject, G.Function({"x": x, "w": w}, {"y": G.conv2d(x, w)}), {"x": pixels, "w": filters})


def test_filters_and_images_of_one_row_or_column_that_are_transposed(subject: Subject) -> None:
    """Along an axis of one element an array has any step: kernels that go by the steps may err."""
    dtype = subject.floating[0]
    variables: dict[str, G.Tensor] = {}
    outputs: dict[str, G.Tensor] = {}
    for number, (rows, columns) in enumerate([(2, 1), (1, 2), (1, 1)]):
        for groups in (1, 2):
            name = f"{number} {groups}"
            w = G.variable(f"w{name}", (2, rows, 4 // groups, columns), dtype)
            x = G.variable(f"x{name}", (1, rows, 4, columns), dtype)
            filters, image = w.transpose(0, 2, 1, 3), x.transpose(0, 2, 1, 3)
            y = G.conv2d(image, filters, groups=groups)
            variables |= {w.name: w, x.name: x}
            outputs[f"y{name}"] = y
            outputs[f"dx{name}"], outputs[f"dw{name}"] = G.grad((y * y).sum(), [x, w])
    function = G.Function(variables, outputs)
    check(subject, function, normal(0, variables))


@pytest.mark.parametrize("channels", [1, 2])
def test_strides_that_leave_one_row_or_one_column_of_several_images(channels: int, subject: Subject) -> None:
    """The stride then moves nowhere: kernels that fold an axis of one element into the next may err."""
    dtype = subject.floating[0]
    variables: dict[str, G.Tensor] = {}
    outputs: dict[str, G.Tensor] = {}
    for stride, shape in [((1, 2), (5, 4)), ((2, 1), (4, 5)), ((3, 3), (5, 5)), ((2, 4), (5, 4))]:
        name = f"{stride} {shape}"
        x = G.variable(f"x{name}", (2, channels, *shape), dtype)
        w = G.variable(f"w{name}", (2, channels, 3, 3), dtype)
        y = G.conv2d(x, w, stride=stride)
        variables |= {x.name: x, w.name: w}
        outputs[f"y{name}"] = y
        outputs[f"dx{name}"], outputs[f"dw{name}"] = G.grad((y * y).sum(), [x, w])
    check(subject, G.Function(variables, outputs), normal(0, variables))
