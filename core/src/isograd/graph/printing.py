"""Graphs as readable text, one line a node."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from isograd.graph.tensor import Array, Tensor, topological

_SMALL = 6


def format_graph(
    outputs: Mapping[str, Tensor] | Tensor,
    updates: Mapping[str, Tensor] | None = None,
    *,
    constants: Literal["short", "digest"] = "short",
) -> str:
    """Each tensor once, in the order of computation: `%3 = add(%1, %2) : float32[10, 100]`.

    Large constants are shortened, or with `constants="digest"` given by the SHA-256 of their bytes, so that
    the text determines the function.
    """
    results = {"": outputs} if isinstance(outputs, Tensor) else dict(outputs)
    new_state = dict(updates or {})
    numbers: dict[int, str] = {}
    lines = []
    for tensor in topological([*results.values(), *new_state.values()]):
        numbers[id(tensor)] = f"%{len(numbers)}"
        operands = ", ".join(numbers[id(x)] for x in tensor.inputs)
        shape = ", ".join(map(str, tensor.shape))
        lines.append(
            f"{numbers[id(tensor)]} = {_call(tensor, operands, constants)} : {tensor.dtype}[{shape}]"
        )
    lines += [f"return {name + ' = ' if name else ''}{numbers[id(t)]}" for name, t in results.items()]
    lines += [f"update {name} = {numbers[id(t)]}" for name, t in new_state.items()]
    return "\n".join(lines)


def _call(tensor: Tensor, operands: str, constants: str) -> str:
    if tensor.primitive == "variable":
        return f"variable {tensor.name}"
    if tensor.primitive == "constant":
        return f"constant {_value(tensor, constants)}"
    details = "".join(f", {name}={value}" for name, value in tensor.attributes.items())
    return f"{tensor.primitive}({(operands + details).removeprefix(', ')})"


def _value(tensor: Tensor, constants: str) -> str:
    value = tensor.attributes["value"]
    if constants == "digest":
        # The bytes, not the text: 0.1 in float32 and -0.0 must not be mistaken for their neighbours.
        return hashlib.sha256(value.tobytes()).hexdigest()
    if value.size <= _SMALL:
        return _elements(value)
    return f"<{value.size} numbers from {value.min()} to {value.max()}>"


def _elements(value: Array) -> str:
    # NumPy's own text of an array follows its print options, which are global.
    return f"[{', '.join(map(_elements, value))}]" if value.ndim else str(value[()])
