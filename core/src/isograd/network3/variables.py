"""A trained array in a place of its own, as Theano's shared variables were."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.tensor import Shape


class SharedVariable:
    """The weights or biases of a layer: float32, of a fixed shape.

    Layers own them and networks read and write them, so that a trained layer may become a part of another
    network.

    Attributes
    ----------
    name : str
        For messages.
    shape : tuple of int
    """

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.shape = shape
        self._value: npt.NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        return f"<SharedVariable {self.name} {list(self.shape)}>"

    @property
    def has_value(self) -> bool:
        """Whether there is one: a layer's first network, or `set_value`, gives it."""
        return self._value is not None

    def get_value(self, borrow: bool = False) -> npt.NDArray[np.float32]:
        """The value as it is now: a copy, or with `borrow` the array itself, which is read-only.

        Raises
        ------
        ArgumentError
            If there is none yet.
        """
        if self._value is None:
            raise ArgumentError(
                f"{self.name} has no value yet; a network draws it when it is made, or set_value gives it one"
            )
        return self._value if borrow else self._value.copy()

    def set_value(self, value: npt.ArrayLike, borrow: bool = False) -> None:
        """Take a copy of `value`, cast to float32, with `borrow` too: what comes in stays the caller's own.

        Raises
        ------
        ArgumentTypeError, ShapeError, ArgumentError
            If it is no array of finite numbers of this shape; the old value stays.
        """
        given: npt.NDArray[Any] = np.asarray(value)
        if given.dtype.kind not in "iuf":
            raise ArgumentTypeError(f"{self.name}: the value is of dtype {given.dtype}; expected numbers")
        if given.shape != self.shape:
            raise ShapeError(
                f"{self.name}: the value has shape {list(given.shape)}; expected {list(self.shape)}"
            )
        with np.errstate(over="ignore"):
            taken = np.array(given, np.float32, order="C")
        if not np.isfinite(taken).all():
            raise ArgumentError(f"{self.name}: the value holds what is no finite float32")
        taken.flags.writeable = False
        self._value = taken

    def eval(self) -> npt.NDArray[np.float32]:
        """A copy of the value as it is now."""
        return self.get_value()
