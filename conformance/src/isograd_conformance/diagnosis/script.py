"""A function with its inputs as a Python script that stands alone and shows a disagreement."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from isograd.graph import Function, Tensor
from isograd.graph.tensor import Array, topological

# Longer arrays are written compressed: nobody reads them.
_READABLE = 64

_HEAD = '''"""{title}

Exit code 1 while the backend differs from isograd's reference evaluation, 0 once it agrees.
"""

import sys

import numpy as np
from numpy import inf, nan

from isograd import graph as G
from isograd_conformance.replay import {helpers}
'''


def as_script(
    function: Function,
    inputs: Mapping[str, Array],
    state: Mapping[str, Array],
    specification: str,
    title: str,
) -> str:
    """The text of a script that computes `function` on a backend and holds it to the bound.

    Parameters
    ----------
    function : Function
    inputs, state : mapping of name to ndarray
    specification : str
        "NAME[:DEVICE]", which the script's first argument may replace.
    title : str
        One line.
    """
    names: dict[int, str] = {}
    lines = [*_graph(function, names), ""]
    parts = [_mapping(part, names) for part in (function.inputs, function.outputs, function.state)]
    updates = _mapping(function.updates, names)
    lines.append(f"function = G.Function({', '.join([*parts, updates])})")
    for name, arrays in (("inputs", inputs), ("state", state)):
        items = [f"    {key!r}: {_literal(array)}," for key, array in arrays.items()]
        lines.append("\n".join([f"{name} = {{", *items, "}"]) if items else f"{name} = {{}}")
    lines.append(f"specification = sys.argv[1] if len(sys.argv) > 1 else {specification!r}")
    lines.append("sys.exit(replay(specification, function, inputs, state))")
    body = "\n".join(lines) + "\n"
    helpers = "packed, replay" if "packed(" in body else "replay"
    return f"{_HEAD.format(title=title, helpers=helpers)}\n{body}"


def _graph(function: Function, names: dict[int, str]) -> Iterator[str]:
    variables = [*function.inputs.values(), *function.state.values()]
    used = topological([*function.outputs.values(), *function.updates.values()])
    for tensor in dict.fromkeys([*variables, *used]):
        name = names[id(tensor)] = f"t{len(names)}"
        yield f"{name} = {_call(tensor, names)}"


def _call(tensor: Tensor, names: Mapping[int, str]) -> str:
    if tensor.primitive == "variable":
        return f"G.variable({tensor.name!r}, {tensor.shape}, {tensor.dtype!r})"
    if tensor.primitive == "constant":
        return f"G.constant({_literal(tensor.attributes['value'])})"
    operands = [names[id(x)] for x in tensor.inputs]
    attributes = [f"{name}={value!r}" for name, value in tensor.attributes.items()]
    return f"G.PRIMITIVES[{tensor.primitive!r}].build({', '.join([*operands, *attributes])})"


def _mapping(tensors: Mapping[str, Tensor], names: Mapping[int, str]) -> str:
    return "{" + ", ".join(f"{name!r}: {names[id(t)]}" for name, t in tensors.items()) + "}"


def _literal(array: Array) -> str:
    """An expression for the array, exact to the bit but for a NaN's payload."""
    if array.size <= _READABLE:
        shaped = f".reshape({array.shape})" if 0 in array.shape else ""
        return f"np.array({array.tolist()!r}, {array.dtype.name!r}){shaped}"
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()
    return f"packed({data!r}, {array.shape}, {array.dtype.name!r})"
