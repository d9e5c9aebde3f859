"""Double precision without the global flag `jax_enable_x64`.

JAX cuts float64 down to float32 outside a scope that allows it, silently, and so do calls of a function that
was compiled inside. The scope belongs to the thread; everything here that touches JAX is done within it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def in_double_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The function, each call of it in a scope where float64 is what it says."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return call
