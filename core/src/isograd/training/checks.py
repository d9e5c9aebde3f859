"""Checks of single arguments: each returns the value, or raises an error that names the argument."""

from __future__ import annotations

import math
import operator
import os
from numbers import Real
from pathlib import Path

from isograd.data.files import file_name
from isograd.errors import ArgumentError, ArgumentTypeError


def whole(name: str, value: object, minimum: int) -> int:
    """An int of at least `minimum`; a bool is none."""
    try:
        result = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentTypeError(f"{name} is {value!r}; expected a whole number") from None
    if isinstance(value, bool):
        raise ArgumentTypeError(f"{name} is {value!r}; expected a whole number")
    if result < minimum:
        raise ArgumentError(f"{name} is {result}; expected at least {minimum}")
    return result


def optional_whole(name: str, value: object, minimum: int) -> int | None:
    """None, or an int of at least `minimum`."""
    return None if value is None else whole(name, value, minimum)


def checked_seed(seed: object) -> int:
    """An int from 0 to 2**64 - 1."""
    result = whole("seed", seed, 0)
    if result >= 2**64:
        raise ArgumentError(f"seed is {result}; expected less than 2**64")
    return result


def number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float = math.inf,
) -> float:
    """A finite number, greater than `above` or at least `least`, and less than `below`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(f"{name} is {value!r}; expected a number")
    try:
        result = float(value)
    except OverflowError:  # an int beyond the range of float
        result = math.inf
    too_low = (above is not None and not result > above) or (least is not None and not result >= least)
    if too_low or not math.isfinite(result) or not result < below:
        bounds = [f"greater than {above:g}"] if above is not None else []
        bounds += [f"at least {least:g}"] if least is not None else []
        bounds += [f"less than {below:g}"] if below != math.inf else []
        raise ArgumentError(f"{name} is {value!r}; expected a finite number {' and '.join(bounds)}".rstrip())
    return result


def checked_path(name: str, value: object) -> Path:
    """A path."""
    if not isinstance(value, str | os.PathLike):
        raise ArgumentTypeError(f"{name} is {value!r}; expected a path")
    return Path(file_name(value))


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name} is {value!r}; expected True or False")
    return value
