"""What every backend refuses, in the same words: a backend calls these and words no such error itself."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from isograd.backend import Array, Executable
from isograd.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from isograd.graph.function import Function

__all__ = ["check_dtypes", "check_executable", "check_primitives", "check_steps", "native_array"]

T = TypeVar("T")


def native_array(backend: str, array: npt.ArrayLike, dtypes: Collection[str]) -> npt.NDArray[Any]:
    """The array in this machine's byte order, for `Backend.to_device`; a copy only where that differs.

    Parameters
    ----------
    backend : str
        Its name, for the message.
    array : array-like
    dtypes : collection of str
        Those of the backend's capabilities.

    Raises
    ------
    UnsupportedError
        If the dtype is not among them; it is named.
    """
    value = np.asarray(array)
    value = value.astype(value.dtype.newbyteorder("="), copy=False)
    if value.dtype.name not in dtypes:
        raise UnsupportedError(
            f"array is {value.dtype.name}; backend {backend!r} has {', '.join(sorted(dtypes))}"
        )
    return value


def check_primitives(backend: str, function: Function, implemented: Collection[str]) -> None:
    """Refuse, for `Backend.compile`, a function with primitives that are not among the implemented ones.

    Raises
    ------
    UnsupportedError
        It names them.
    """
    unknown = {n.primitive for n in function.nodes} - set(implemented) - {"variable", "constant"}
    if unknown:
        raise UnsupportedError(f"backend {backend!r} does not implement: {', '.join(sorted(unknown))}")


def check_dtypes(backend: str, function: Function, dtypes: Collection[str]) -> None:
    """Refuse, for `Backend.compile`, a function with dtypes that are not among those of the capabilities.

    Raises
    ------
    UnsupportedError
        It names them.
    """
    variables = (*function.inputs.values(), *function.state.values())
    unknown = {tensor.dtype for tensor in (*variables, *function.nodes)} - set(dtypes)
    if unknown:
        raise UnsupportedError(
            f"the function has {', '.join(sorted(unknown))}; "
            f"backend {backend!r} has {', '.join(sorted(dtypes))}"
        )


@overload
def check_executable(executable: Executable, kind: type[T]) -> T: ...
@overload
def check_executable(executable: Executable, kind: type | tuple[type, ...]) -> Any: ...
def check_executable(executable: Executable, kind: type | tuple[type, ...]) -> Any:
    """Refuse, for `Backend.run_steps`, an executable of another backend; returns it.

    Raises
    ------
    ArgumentTypeError
        If it is not of this kind, or of one of these.
    """
    if not isinstance(executable, kind):
        raise ArgumentTypeError(f"executable is a {type(executable).__name__}; expected one compiled here")
    return executable


def check_steps(steps: object, resident: Mapping[str, Array], per_step: Mapping[str, Array]) -> int:
    """The checks on the arguments of `Backend.run_steps`, for backends that override it; returns `steps`.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        As `Backend.run_steps` documents.
    """
    try:
        count = operator.index(steps)  # type: ignore[arg-type]
    except TypeError as error:
        raise ArgumentTypeError(f"steps is {steps!r}; expected an int") from error
    if isinstance(steps, bool) or count < 1:
        raise ArgumentError(f"steps is {steps!r}; expected an int of at least 1")
    for name, array in per_step.items():
        if name in resident:
            raise ArgumentError(f"{name!r} is in both resident and per_step; expected it in one of them")
        if not hasattr(array, "shape"):
            raise ArgumentTypeError(f"per_step {name!r} is a {type(array).__name__}; expected an array")
        shape = tuple(array.shape)
        if not shape or shape[0] != count:
            raise ArgumentError(f"per_step {name!r} has shape {list(shape)}; expected {count} rows")
    return count
