"""Shape rules: what does not fit fails on the line that wrote it, with all shapes named."""

from __future__ import annotations

import numpy as np
import pytest

from isograd import graph as G
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError

ELEMENTWISE = {"add", "sub", "mul", "div", "maximum", "minimum", "greater", "equal"}
# A function of one tensor of any shape has a dtype to refuse and nothing else.
ANY_SHAPE = {
    "neg",
    "exp",
    "log",
    "sqrt",
    "tanh",
    "sigmoid",
    "relu",
    "softplus",
    "abs",
    "sign",
    "stop_gradient",
}

SCALAR = G.variable("scalar", ())
ROWS = G.variable("rows", (2, 3))
OTHER = G.variable("other", (3, 2))
IMAGE = G.variable("image", (1, 2, 5, 6))
FILTERS = G.variable("filters", (4, 2, 3, 3))
SMALL = G.variable("small", (1, 4, 2, 2))
PLACES = G.variable("places", (1, 4, 2, 2), "int32")
INDICES = G.variable("indices", (3,), "int32")
KEEP = {"low": (0, 0), "high": (0, 0), "interior": (0, 0)}

# name, operands, attributes, error, what the message says
BAD = [
    *((name, (ROWS, OTHER), {}, ShapeError, r"[2, 3] and [3, 2] differ") for name in sorted(ELEMENTWISE)),
    ("pow", (ROWS,), {"exponent": True}, ArgumentTypeError, "exponent is True"),
    ("pow", (ROWS,), {"exponent": "2"}, ArgumentTypeError, "exponent is '2'"),
    ("where", (ROWS > 0, ROWS, OTHER), {}, ShapeError, "[2, 3] and [3, 2] differ"),
    ("where", (OTHER > 0, ROWS, ROWS), {}, ShapeError, "condition has shape [3, 2], the branches [2, 3]"),
    ("reshape", (ROWS,), {"shape": (4, 2)}, ShapeError, "[2, 3] has 6 elements and does not fit into [4, 2]"),
    ("reshape", (ROWS,), {"shape": (-2, -3)}, ShapeError, "shape is [-2, -3]; sizes can not be negative"),
    ("reshape", (ROWS,), {"shape": (2.0, 3.0)}, ArgumentTypeError, "expected a sequence of whole numbers"),
    ("transpose", (ROWS,), {"axes": (0,)}, ArgumentError, "axes are [0]; expected each of 2 axes once"),
    ("transpose", (ROWS,), {"axes": (0, 0)}, ArgumentError, "axes are [0, 0]"),
    ("transpose", (ROWS,), {"axes": (0, 2)}, ArgumentError, "axis is 2, but the operand has 2 axes"),
    ("broadcast_to", (ROWS,), {"shape": (2, 4)}, ShapeError, "[2, 3] can not be broadcast to [2, 4]"),
    ("broadcast_to", (ROWS,), {"shape": (3,)}, ShapeError, "[2, 3] can not be broadcast to [3]"),
    (
        "slice",
        (ROWS,),
        {"start": (0, 0), "stop": (2, 4), "step": (1, 1)},
        ShapeError,
        "stop [2, 4] do not lie in order within [2, 3]",
    ),
    ("slice", (ROWS,), {"start": (2, 0), "stop": (1, 3), "step": (1, 1)}, ShapeError, "start [2, 0]"),
    (
        "slice",
        (ROWS,),
        {"start": (0,), "stop": (2, 3), "step": (1, 1)},
        ShapeError,
        "start is [0]; expected 2",
    ),
    ("slice", (ROWS,), {"start": (0, 0), "stop": (2, 3), "step": (0, 1)}, ArgumentError, "step is 0"),
    ("slice", (ROWS,), {"start": (-1, 0), "stop": (2, 3), "step": (1, 1)}, ArgumentError, "start is -1"),
    ("pad", (ROWS,), {**KEEP, "low": (-1, 0)}, ArgumentError, "low is -1; expected at least 0"),
    ("pad", (ROWS,), {**KEEP, "high": (1,)}, ShapeError, "high is [1]; expected 2 numbers"),
    ("pad", (ROWS,), {**KEEP, "interior": (0.5, 0)}, ArgumentTypeError, "interior is 0.5"),
    ("pad", (ROWS.cast("uint8"),), {**KEEP, "value": -1}, ArgumentError, "range of uint8"),
    ("concat", (ROWS, OTHER), {"axis": 0}, ShapeError, "[2, 3], [3, 2] differ in more than axis 0"),
    ("concat", (ROWS, SCALAR), {"axis": 0}, ShapeError, "[2, 3], [] differ"),
    ("concat", (ROWS,), {"axis": 2}, ArgumentError, "axis is 2, but the operand has 2 axes"),
    ("concat", (SCALAR,), {"axis": 0}, ArgumentError, "the operand has 0 axes"),
    ("concat", (), {"axis": 0}, ArgumentError, "no operand"),
    ("gather", (SCALAR, INDICES), {}, ShapeError, "a scalar"),
    ("gather", (ROWS, SMALL), {}, ArgumentTypeError, "indices is float32; expected int32"),
    (
        "scatter_add",
        (ROWS, INDICES),
        {"size": 4},
        ShapeError,
        "[2, 3] do not begin with the shape of indices, [3]",
    ),
    ("scatter_add", (OTHER, INDICES), {"size": -1}, ArgumentError, "size is -1; expected at least 0"),
    ("cast", (ROWS,), {"dtype": "int64"}, ArgumentTypeError, "dtype is int64; expected one of float32"),
    ("iota", (), {"shape": (2, 3), "axis": 2}, ArgumentError, "axis is 2, but the operand has 2 axes"),
    ("reduce_sum", (ROWS,), {"axes": 2}, ArgumentError, "axis is 2, but the operand has 2 axes"),
    ("reduce_sum", (ROWS,), {"axes": (0, 0)}, ArgumentError, "axes [0, 0] name one axis twice"),
    ("reduce_max", (ROWS[:0],), {"axes": 0}, ShapeError, "[0, 3] has no element along axes [0]"),
    ("argmax", (ROWS[:0],), {"axis": 0}, ShapeError, "[0, 3] has no element along axis 0"),
    ("argmax", (ROWS,), {"axis": 0.0}, ArgumentTypeError, "axis is 0.0; expected a whole number"),
    ("argmax", (ROWS,), {"axis": True}, ArgumentTypeError, "axis is True; expected a whole number"),
    ("logsumexp", (ROWS,), {"axes": -3}, ArgumentError, "axis is -3, but the operand has 2 axes"),
    ("matmul", (ROWS, ROWS), {}, ShapeError, "[2, 3] and [2, 3] do not fit together"),
    ("matmul", (SMALL, IMAGE), {}, ShapeError, "[1, 4, 2, 2] and [1, 2, 5, 6]"),
    ("matmul", (ROWS, SCALAR), {}, ShapeError, "b has shape []; expected at least 2 axes"),
    ("conv2d", (ROWS, FILTERS), {}, ShapeError, "x has shape [2, 3]; expected 4 axes"),
    ("conv2d", (IMAGE, FILTERS), {"groups": 2}, ShapeError, "filters [4, 2, 3, 3]"),
    ("conv2d", (IMAGE, FILTERS), {"dilation": 3}, ShapeError, "3x3 window with dilation 3x3 does not fit"),
    ("conv2d", (IMAGE, FILTERS), {"stride": 0}, ArgumentError, "stride is 0; expected at least 1"),
    ("conv2d", (IMAGE, FILTERS), {"stride": (1, 2, 3)}, ArgumentError, "stride is (1, 2, 3); expected one"),
    ("conv2d", (IMAGE, FILTERS), {"groups": 1.0}, ArgumentTypeError, "groups is 1.0"),
    ("conv2d", (IMAGE, FILTERS[:, :, :0]), {}, ArgumentError, "filter size is 0; expected at least 1"),
    ("conv2d_dx", (SMALL, FILTERS), {"input_size": (9, 9)}, ShapeError, "g has shape [1, 4, 2, 2]; the conv"),
    ("conv2d_dw", (IMAGE, SMALL), {"filter_size": (3, 3)}, ShapeError, "output has [1, 4, 3, 4]"),
    (
        "sum_pool2d",
        (IMAGE,),
        {"window": (6, 1)},
        ShapeError,
        "a 6x1 window does not fit into an image of 5x6",
    ),
    ("sum_pool2d", (ROWS,), {"window": 1}, ShapeError, "x has shape [2, 3]; expected 4 axes"),
    ("max_pool2d", (IMAGE,), {"window": 0}, ArgumentError, "window is 0; expected at least 1"),
    ("max_pool2d_index", (IMAGE,), {"window": 2, "stride": -1}, ArgumentError, "stride is -1"),
    (
        "sum_pool2d_t",
        (SMALL,),
        {"window": 2, "stride": 2, "input_size": (6, 6)},
        ShapeError,
        "g has shape [1, 4, 2, 2]; pooling (6, 6) gives (3, 3) pixels",
    ),
    ("pool_gather2d", (IMAGE, PLACES), {}, ShapeError, "x [1, 2, 5, 6] and index [1, 4, 2, 2] differ"),
    (
        "unpool2d",
        (IMAGE, PLACES),
        {"input_size": 8},
        ShapeError,
        "g has shape [1, 2, 5, 6], index [1, 4, 2, 2]",
    ),
]


def test_every_primitive_with_a_shape_rule_is_tried():
    assert {row[0] for row in BAD} | ANY_SHAPE == G.PRIMITIVES.keys()


@pytest.mark.parametrize(
    ("name", "operands", "attributes", "error", "message"), BAD, ids=[f"{row[0]}-{row[4]}" for row in BAD]
)
def test_a_primitive_refuses_what_does_not_fit(name, operands, attributes, error, message):
    with pytest.raises(error) as raised:
        G.PRIMITIVES[name].build(*operands, **attributes)
    assert message in str(raised.value)


def test_shapes_and_dtypes_that_fit_are_kept_as_python_numbers():
    attributes = G.conv2d(IMAGE, FILTERS, stride=np.int64(2), dilation=[1, np.int32(1)]).attributes
    assert repr(dict(attributes)) == "{'stride': (2, 2), 'dilation': (1, 1), 'groups': 1}"
