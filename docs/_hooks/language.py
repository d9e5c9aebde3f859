"""The tables of the page on the graph language, made of the code that they describe.

The names, meanings and rules are those of `isograd.graph`; which dtypes a primitive takes is tried, and the
figures of the conventions are computed by the reference evaluation. Nothing here is written a second time but
one application of each primitive, as an example of its shape rule.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markup import code, escaped, table

from isograd import graph as G
from isograd.errors import ArgumentTypeError
from isograd.graph import derived, reference
from isograd.graph.tensor import Primitive, Shape, Tensor

INF, NAN = float("inf"), float("nan")
GROUPS = {
    "structure": "Structure: elements are moved, not computed with",
    "unary": "Unary: each element by itself",
    "binary": "Binary: elements at the same place",
    "select": "Selection",
    "reduce": "Reduction: axes are removed",
    "contract": "Contraction: matrix products and convolutions",
    "pool": "Pooling: windows of images",
}


class Example(NamedTuple):
    """Shapes of operands, of which those at `fixed` have a dtype of their own; the static attributes."""

    shapes: Sequence[Shape]
    attributes: Mapping[str, Any] = {}
    fixed: Mapping[int, str] = {}


_IMAGE: Shape = (2, 4, 8, 8)
_POOLED: Shape = (2, 4, 4, 4)
_WINDOW = {"window": 2, "stride": 2}
_ONE = Example([(2, 3)])
_TWO = Example([(2, 3), (2, 3)])
_AXES = Example([(2, 3, 4)], {"axes": (1,)})

EXAMPLES = {
    "reshape": Example([(2, 3)], {"shape": (3, 2)}),
    "transpose": Example([(2, 3, 4)], {"axes": (2, 0, 1)}),
    "broadcast_to": Example([(3, 1)], {"shape": (2, 3, 4)}),
    "slice": Example([(7, 3)], {"start": (1, 0), "stop": (6, 3), "step": (2, 1)}),
    "pad": Example([(3, 4)], {"low": (1, 0), "high": (2, 0), "interior": (1, 0)}),
    "concat": Example([(2, 3), (4, 3)], {"axis": 0}),
    "gather": Example([(5, 3), (2,)], {}, {1: "int32"}),
    "scatter_add": Example([(2, 3), (2,)], {"size": 5}, {1: "int32"}),
    "cast": Example([(2, 3)], {"dtype": "float32"}),
    "iota": Example([], {"shape": (2, 3), "axis": 1}),
    "stop_gradient": _ONE,
    "pow": Example([(2, 3)], {"exponent": 0.5}),
    "where": Example([(2, 3), (2, 3), (2, 3)], {}, {0: "bool"}),
    "reduce_sum": _AXES,
    "reduce_max": _AXES,
    "logsumexp": _AXES,
    "argmax": Example([(2, 3, 4)], {"axis": 1}),
    "matmul": Example([(5, 2, 3), (5, 3, 4)]),
    "conv2d": Example([_IMAGE, (6, 4, 3, 3)], {"stride": 2}),
    "conv2d_dx": Example([(2, 6, 3, 3), (6, 4, 3, 3)], {"input_size": (8, 8), "stride": 2}),
    "conv2d_dw": Example([_IMAGE, (2, 6, 3, 3)], {"filter_size": (3, 3), "stride": 2}),
    "sum_pool2d": Example([_IMAGE], _WINDOW),
    "sum_pool2d_t": Example([_POOLED], {**_WINDOW, "input_size": (8, 8)}),
    "max_pool2d": Example([_IMAGE], _WINDOW),
    "max_pool2d_index": Example([_IMAGE], _WINDOW),
    "pool_gather2d": Example([_IMAGE, _POOLED], {}, {1: "int32"}),
    "unpool2d": Example([_POOLED, _POOLED], {"input_size": (8, 8)}, {1: "int32"}),
    **dict.fromkeys(
        ("neg", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "softplus", "abs", "sign"), _ONE
    ),
    **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum", "greater", "equal"), _TWO),
}


def _applied(row: Primitive, example: Example, dtype: str) -> Tensor:
    names = _operands(row, example)
    kinds = [example.fixed.get(i, dtype) for i in range(len(names))]
    variables = [G.variable(*of) for of in zip(names, example.shapes, kinds, strict=True)]
    return row.build(*variables, **example.attributes)


def _operands(row: Primitive, example: Example) -> list[str]:
    """The names of the operands; those of a primitive that takes any number are counted."""
    parameters = inspect.signature(row.build).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return [f"x{i}" for i in range(len(example.shapes))]
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def dtypes(row: Primitive) -> list[tuple[str, str]]:
    """(dtype of the operands that have no fixed one, dtype of the result), by trying each."""
    example = EXAMPLES[row.name]
    found: list[tuple[str, str]] = []
    for dtype in G.DTYPES:
        try:
            found.append((dtype, _applied(row, example, dtype).dtype))
        except ArgumentTypeError:
            continue
    return found


def _dtypes(row: Primitive) -> str:
    example, found = EXAMPLES[row.name], dtypes(row)
    taken, results = [one for one, _ in found], {result for _, result in found}
    if not example.shapes:
        return f"result {code(*sorted(results))} unless another is asked for"
    unchanged = all(one == result for one, result in found)
    result = "the same" if unchanged else code(*sorted(results))
    if "dtype" in example.attributes:
        result = "the one asked for"
    names = _operands(row, example)
    fixed = "".join(f", {code(names[i])} {code(dtype)}" for i, dtype in example.fixed.items())
    return f"{'any' if len(taken) == len(G.DTYPES) else code(*taken)}{fixed}; result {result}"


def _example(row: Primitive) -> str:
    example = EXAMPLES[row.name]
    y = _applied(row, example, dtypes(row)[0][0])
    operands = [f"{x.name} {x.dtype}{list(x.shape)}" for x in y.inputs]
    given = [f"{name}={value!r}" for name, value in example.attributes.items()]
    return f"{row.name}({', '.join([*operands, *given])}) -> {y.dtype}{list(y.shape)}"


def signature(row: Primitive) -> str:
    """`name(operands, *, attributes)`, without annotations."""
    parameters = inspect.signature(row.build).parameters.values()
    bare = [p.replace(annotation=p.empty) for p in parameters]
    return f"{row.name}{inspect.Signature(bare)}"


def _source(function: Callable[..., Any]) -> str:
    """A function's source without decorators and docstring."""
    lines = inspect.getsource(function).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))
    text, document = "\n".join(lines[start:]), function.__doc__
    return text.replace(f'    """{document}"""\n', "") if document else text


def shape_rule(row: Primitive) -> str:
    """The source of the shape rule, and before it that of the module's functions that it calls."""
    rule = inspect.unwrap(row.build)
    called = [n for n in rule.__code__.co_names if n.startswith("_") and callable(rule.__globals__.get(n))]
    return "\n\n\n".join(_source(f) for f in (*(rule.__globals__[name] for name in called), rule))


def gradient_rule(row: Primitive) -> str:
    """The body of the gradient rule, or empty if no gradient flows."""
    rule = G.VJP[row.name]
    body = textwrap.dedent(_source(rule).partition("-> Gradients:\n")[2])
    return "" if "[None] *" in body else body


def _section(row: Primitive) -> str:
    gradient = gradient_rule(row)
    parts = [
        f"#### {row.name}",
        f"```python\n{signature(row)}\n```",
        escaped(row.meaning),
        f"Dtypes: {_dtypes(row)}. For example",
        f"```text\n{_example(row)}\n```",
        f"Gradient:\n\n```python\n{gradient}\n```" if gradient else "Gradient: none flows.",
        '??? note "Shape and dtype rule"\n\n'
        + textwrap.indent(f"```python\n{shape_rule(row)}\n```", "    ", lambda line: bool(line.strip())),
    ]
    return "\n\n".join(parts)


def primitives() -> str:
    """All primitives by group: a table of all, then each with its rules.

    Raises
    ------
    LookupError
        If a primitive has no meaning, no gradient rule, no example here, or a group without a title.
    """
    for name, row in G.PRIMITIVES.items():
        if not row.meaning:
            raise LookupError(f"the primitive {name!r} has no meaning: its shape rule has no docstring")
        if name not in G.VJP or name not in EXAMPLES or row.group not in GROUPS:
            raise LookupError(
                f"the primitive {name!r} needs a gradient rule, an example in EXAMPLES of {__name__}, "
                "and a group that GROUPS has"
            )
    parts = []
    for group, title in GROUPS.items():
        rows = [row for row in G.PRIMITIVES.values() if row.group == group]
        cells = [
            (f"[`{row.name}`](#{row.name})", escaped(row.meaning.partition("\n\n")[0]), _dtypes(row))
            for row in rows
        ]
        parts += [
            f"### {title}",
            table(("primitive", "meaning", "dtypes"), cells),
            *map(_section, rows),
        ]
    return "\n\n".join(parts)


def derived_functions() -> str:
    """The functions made of primitives, with the first line of what each says of itself."""
    rows = [
        (f"[`{name}`][{derived.__name__}.{name}]", escaped((f.__doc__ or "").partition("\n")[0]))
        for name, f in inspect.getmembers(derived, inspect.isfunction)
        if f.__module__ == derived.__name__ and name in G.__all__
    ]
    return table(("function", "what it is"), rows)


class Convention(NamedTuple):
    """A case, what holds there, a function, and points at which its value and gradient are computed."""

    case: str
    rule: str
    build: Callable[[Tensor], Tensor]
    x: Any


CONVENTIONS = [
    Convention("`relu` at 0 and NaN", "slope 0 at both; NaN is handed on", G.relu, [-0.0, 0, NAN]),
    Convention("`sign` at 0", "0, slope 0", G.sign, [-2, -0.0, 0, 2]),
    Convention("`abs` at 0", "slope 0", G.abs_, [-2, 0, 2]),
    Convention("`maximum`, `minimum`, tie", "half to each", lambda x: G.maximum(x, 1.0), [0, 1, 2, NAN]),
    Convention("`reduce_max`, tie", "evenly among the maxima", lambda x: x.max(), [1, 3, 3]),
    Convention("`reduce_max`, NaN", "NaN, and no gradient", lambda x: x.max(), [1, NAN]),
    Convention(
        "`max_pool2d`, tie",
        "the first in row-major order, in overlapping windows too",
        lambda x: G.max_pool2d(x.reshape(1, 1, 2, 2), window=2),
        [1, 3, 3, 3],
    ),
    Convention(
        "`max_pool2d`, NaN",
        "NaN; the first one gets the gradient",
        lambda x: G.max_pool2d(x.reshape(1, 1, 2, 2), window=2),
        [9, NAN, NAN, 1],
    ),
    Convention(
        "`max_pool2d_index`, all -inf",
        "the first element",
        lambda x: G.max_pool2d_index(x.reshape(1, 1, 2, 2), window=2),
        [-INF] * 4,
    ),
    Convention("`argmax`, tie", "the first", lambda x: G.argmax(x, axis=0), [1, 3, 3]),
    Convention("`argmax`, NaN", "the first NaN", lambda x: G.argmax(x, axis=0), [1, NAN, 3, NAN]),
    Convention("`softplus` at 0", "slope one half", G.softplus, [0]),
    Convention("`sqrt` at 0 and below", "slope inf; NaN", G.sqrt, [0, -1]),
    Convention("`pow` at 0, exponent above 1", "slope 0", lambda x: x**3, [0]),
    Convention("`pow` at 0, exponent 1", "slope 1", lambda x: x**1, [0]),
    Convention("`pow` at 0, exponent below 1", "slope inf", lambda x: x**0.5, [0]),
    Convention("`pow`, exponent 0", "1 everywhere, slope 0", lambda x: x**0, [0, NAN]),
    Convention(
        "`where`, slope inf in the branch not taken",
        "0 * inf is NaN; derived functions guard the operand too",
        lambda x: G.where(G.greater(x, 0), G.sqrt(x), 0.0),
        [4, 0],
    ),
    Convention("`safe_sqrt`", "so guarded: slope 0 at 0", G.safe_sqrt, [4, 0]),
    Convention(
        "L2 pooling of a window of zeros",
        "slope 0",
        lambda x: G.l2_pool2d(x.reshape(1, 1, 2, 2), window=2),
        [0, 0, 0, 0],
    ),
    Convention("`logsumexp` of -inf alone", "-inf, and no gradient", lambda x: G.logsumexp(x), [-INF, -INF]),
    Convention("`div` by 0", "by IEEE 754", lambda x: x / 0.0, [-1, 0, 1]),
]


def _numbers(array: Any) -> str:
    return code(", ".join("NaN" if np.isnan(v) else f"{v + 0.0:g}" for v in np.asarray(array).ravel()))


def conventions() -> str:
    """The table of conventions; values and gradients of the sum are computed here."""
    rows = []
    for one in CONVENTIONS:
        x = G.variable("x", np.shape(one.x), "float64")
        y = one.build(x)
        values = {"x": np.asarray(one.x, np.float64)}
        gradient = "none"
        with np.errstate(all="ignore"):
            if y.dtype in G.FLOATING:
                gradient = _numbers(reference.evaluate([G.grad(y.sum(), x)], values)[0])
            value = _numbers(reference.evaluate([y], values)[0])
        rows.append((one.case, one.rule, _numbers(one.x), value, gradient))
    return table(("case", "what holds", "x", "value", "gradient of its sum"), rows)
