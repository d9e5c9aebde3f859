"""Every error that isograd raises on purpose, in one small hierarchy.

An `IsogradError` that concerns an argument is also the built-in error that a Python user expects
(`ValueError` or `TypeError`); one that concerns a file is also an `OSError` or a `ValueError`. Messages
name the argument, say what came and what was expected.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "FileAccessError",
    "FileFormatError",
    "IsogradError",
    "NonFiniteError",
    "PluginError",
    "ShapeError",
    "UnsupportedError",
]


class IsogradError(Exception):
    """The root: `except IsogradError` catches whatever isograd raises on purpose."""


class ArgumentError(IsogradError, ValueError):
    """An argument has the right type but a value that can not be used."""


class ArgumentTypeError(IsogradError, TypeError):
    """An argument has a type, or an array has a dtype, that can not be used."""


class ShapeError(ArgumentError):
    """Shapes do not fit together; the message gives all shapes concerned."""


class UnsupportedError(IsogradError, NotImplementedError):
    """A backend was asked for something that it does not declare among its capabilities."""


class FileAccessError(IsogradError, OSError):
    """A file can not be found, read or written."""


class FileFormatError(IsogradError, ValueError):
    """A file was read, but its contents are not what they should be: truncated, corrupted or other."""


class PluginError(IsogradError, RuntimeError):
    """A plugin failed to import, to register or to build what it promised."""


class NonFiniteError(IsogradError, ArithmeticError):
    """Training met a NaN or an infinity.

    Attributes
    ----------
    epoch, step : int
        Where: both count from 0; `step` counts mini-batches within the epoch.
    layer : str
        The path of the first layer whose value or gradient was not finite.
    """

    def __init__(self, message: str, *, epoch: int, step: int, layer: str) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.layer = layer
