"""What holds for every primitive: shape and dtype of the result, dtypes taken, the transpose if linear."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isograd import graph as G
from isograd.errors import ArgumentTypeError
from isograd.graph.primitives import __all__ as exported
from isograd.graph.reference import REFERENCE, evaluate

NAMES = sorted(G.PRIMITIVES)

MOVING = {"reshape", "transpose", "broadcast_to", "slice", "pad", "gather", "cast", "stop_gradient"}
TAKES_EVERY_DTYPE = MOVING | {"concat", "equal", "where"}
BINARY = {"add", "sub", "mul", "div", "maximum", "minimum", "greater", "equal"}
CONTRACTIONS = {"matmul", "conv2d", "conv2d_dx", "conv2d_dw"}
POOLS = {"sum_pool2d", "sum_pool2d_t", "pool_gather2d", "unpool2d"}
SEVERAL_OPERANDS = {"concat", "where"} | BINARY | CONTRACTIONS

# In which operands, taken together, a primitive is linear while the others stay fixed.
LINEAR = {
    **dict.fromkeys(
        MOVING - {"stop_gradient"} | POOLS | {"scatter_add", "neg", "div", "reduce_sum"}, ((0,),)
    ),
    **dict.fromkeys(CONTRACTIONS | {"mul"}, ((0,), (1,))),
    "add": ((0, 1),),
    "sub": ((0, 1),),
    "where": ((1, 2),),
    "concat": (None,),  # in all together, however many there are
}


def test_the_table_of_cases_has_every_primitive(cases):
    assert cases.keys() == G.PRIMITIVES.keys()


def test_the_reference_has_every_primitive():
    assert REFERENCE.keys() == G.PRIMITIVES.keys()


def test_every_primitive_is_public_and_has_a_meaning():
    assert {name.rstrip("_") for name in exported} == set(NAMES)
    assert all(row.name == name and row.meaning.endswith(".") for name, row in G.PRIMITIVES.items())
    groups = {"structure", "unary", "binary", "select", "reduce", "contract", "pool"}
    assert {row.group for row in G.PRIMITIVES.values()} == groups


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_the_value_has_the_shape_and_dtype_of_the_tensor(name, cases, draw_case, data):
    case = draw_case(data.draw, name, data.draw(st.sampled_from(sorted(cases[name].dtypes))))
    y = case.build(case.variables())
    with np.errstate(all="ignore"):
        raw = np.asarray(REFERENCE[name](*case.operands, **y.attributes))
    (value,) = evaluate([y], case.values())
    assert raw.shape == value.shape == y.shape
    assert value.dtype == y.dtype
    # NumPy gives indices in its own integer; nothing floating is computed in another precision.
    assert raw.dtype == y.dtype or (y.dtype == "int32" and raw.dtype == np.intp)


def test_which_primitives_take_every_dtype(cases):
    assert {name for name, entry in cases.items() if entry.dtypes == set(G.DTYPES)} == TAKES_EVERY_DTYPE


@pytest.mark.parametrize("name", sorted(set(NAMES) - TAKES_EVERY_DTYPE))
@settings(max_examples=5)
@given(data=st.data())
def test_a_dtype_that_a_primitive_does_not_take_is_refused_by_name(name, cases, draw_case, data):
    allowed = cases[name].dtypes
    case = draw_case(data.draw, name, data.draw(st.sampled_from(sorted(allowed - {"bool", "int32"}))))
    wrong = data.draw(st.sampled_from(sorted(set(G.DTYPES) - allowed)))
    if not case.operands:
        with pytest.raises(ArgumentTypeError, match=f"{name}.*{wrong}"):
            G.PRIMITIVES[name].build(**{**case.attributes, "dtype": wrong})
        return
    drawn = case.operands[-1 if name == "where" else 0].dtype
    variables = [
        G.variable(t.name, t.shape, wrong if t.dtype == drawn else t.dtype) for t in case.variables()
    ]
    with pytest.raises(ArgumentTypeError, match=f"{name}.*{wrong}.*expected"):
        case.build(variables)


@pytest.mark.parametrize("name", sorted(SEVERAL_OPERANDS))
@settings(max_examples=5)
@given(data=st.data())
def test_operands_of_two_dtypes_are_refused_with_both_named(name, draw_case, data):
    case = draw_case(data.draw, name, "float64")
    variables = case.variables()
    of_one_dtype = [i for i, t in enumerate(variables) if t.dtype == "float64"]
    assume(len(of_one_dtype) > 1)
    changed = data.draw(st.sampled_from(of_one_dtype))
    variables[changed] = G.variable("other", variables[changed].shape, "float32")
    with pytest.raises(ArgumentTypeError, match=f"{name}.*(float64.*float32|float32.*float64)"):
        case.build(variables)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"iota"}))
@settings(max_examples=5)
@given(data=st.data())
def test_what_is_no_tensor_is_refused_by_name(name, draw_case, data):
    case = draw_case(data.draw, name, "float32")
    with pytest.raises(ArgumentTypeError, match=f"{name}: .* is a ndarray; expected a Tensor"):
        G.PRIMITIVES[name].build(*case.operands, **case.attributes)


@pytest.mark.parametrize("name", sorted(LINEAR))
@given(data=st.data())
def test_the_gradient_of_a_linear_primitive_is_its_transpose(name, draw_case, data):
    """<J v, u> = <v, J' u>, both being the sum of the same products u_i J_ij v_j in another order.

    Each sum is wrong by at most gamma_k sum |u_i J_ij v_j|, with k the number of additions and
    multiplications that a product goes through (Higham, "Accuracy and Stability of Numerical Algorithms",
    section 3.1).
    """
    case = draw_case(data.draw, name, "float64")
    if name == "pad":
        case.attributes["value"] = 0  # another makes it affine
    variables, values = case.variables(), case.values()
    y = case.build(variables)
    assume(y.dtype in G.FLOATING)
    together = data.draw(st.sampled_from(LINEAR[name])) or range(len(variables))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    u = G.variable("u", y.shape, y.dtype)
    moved = {f"x{i}": rng.standard_normal(variables[i].shape) for i in together}
    values = {**values, **moved, "u": rng.standard_normal(y.shape)}

    transposed = G.vector_jacobian_product(y, u, [variables[i] for i in together])
    (Jv, *Ju) = evaluate([y, *transposed], values, precision="float64")
    left = np.sum(Jv * values["u"])
    right = sum(np.sum(product * v) for product, v in zip(Ju, moved.values(), strict=True))

    products = 0.0
    for kept in moved:
        magnitudes = {n: np.abs(v) if v.dtype.kind == "f" else v for n, v in values.items()}
        magnitudes.update({n: np.zeros_like(v) for n, v in moved.items() if n != kept})
        products += float(np.sum(abs(evaluate([y], magnitudes, precision="float64")[0]) * magnitudes["u"]))
    k = 4 + 2 * (y.size + sum(t.size for t in variables))
    assert abs(left - right) <= 2 * k * 2.0**-53 / (1 - k * 2.0**-53) * products
