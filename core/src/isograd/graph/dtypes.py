"""The five dtypes of the graph language, and what each may be used for."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from isograd.errors import ArgumentTypeError

DType = Literal["float32", "float64", "int32", "bool", "uint8"]
"""The name of a dtype."""

DTYPES: tuple[DType, ...] = get_args(DType)
"""All dtypes of the graph language."""
FLOATING: frozenset[DType] = frozenset({"float32", "float64"})
"""Those that have gradients."""
ARITHMETIC: frozenset[DType] = FLOATING | {"int32"}
ORDERED: frozenset[DType] = ARITHMETIC | {"uint8"}

# Which dtype holds both operands of an operator; the primitives themselves never promote.
_PROMOTION: tuple[DType, ...] = ("bool", "uint8", "int32", "float32", "float64")


def as_dtype(value: object, argument: str = "dtype") -> DType:
    """The graph dtype that `value` (a name, a NumPy dtype or scalar type) stands for.

    Raises
    ------
    ArgumentTypeError
        If it is none of float32, float64, int32, bool and uint8.
    """
    try:
        name = np.dtype(value).name  # type: ignore[call-overload]
    except TypeError:
        name = repr(value)
    for dtype in DTYPES:
        if dtype == name:
            return dtype
    raise ArgumentTypeError(f"{argument} is {name}; expected one of {', '.join(DTYPES)}")


def promote(a: DType, b: DType) -> DType:
    """The later of the two in the order bool, uint8, int32, float32, float64."""
    return max(a, b, key=_PROMOTION.index)
