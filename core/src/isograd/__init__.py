"""isograd: one network, many backends, equal gradients.

    import isograd

    training, validation, test = isograd.load_dataset("mnist")
    net = isograd.Network([isograd.FullyConnected(100), isograd.Softmax(10)], input_shape=(784,))
    net.SGD(training, 5, 10, 0.1, validation, test)

Names are imported when they are first used, so that `import isograd` alone brings no framework in.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isograd.backend import Backend
    from isograd.backend_choice import choose_backend
    from isograd.costs import Cost, CrossEntropy, LogLikelihood, Quadratic
    from isograd.data import Dataset, DatasetSplits, load_dataset
    from isograd.ensemble import Ensemble
    from isograd.errors import IsogradError
    from isograd.graph import Function, Tensor, grad, variable
    from isograd.layers import (
        Activation,
        AveragePool,
        BatchNorm,
        Convolution,
        ConvPool,
        Dropout,
        Flatten,
        FullyConnected,
        L2Pool,
        Layer,
        MaxPool,
        Softmax,
    )
    from isograd.network import Network
    from isograd.plugins import hookimpl
    from isograd.symbolic import function
    from isograd.training import Callback, History

__version__ = "0.1.0"

# The loggers are named after their modules; what they say is for the program to show that wants it.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOMES = {
    "isograd.backend": ("Backend",),
    "isograd.backend_choice": ("choose_backend",),
    "isograd.costs": ("Cost", "CrossEntropy", "LogLikelihood", "Quadratic"),
    "isograd.data": ("Dataset", "DatasetSplits", "load_dataset"),
    "isograd.ensemble": ("Ensemble",),
    "isograd.errors": ("IsogradError",),
    "isograd.graph": ("Function", "Tensor", "grad", "variable"),
    "isograd.layers": (
        "Activation",
        "AveragePool",
        "BatchNorm",
        "ConvPool",
        "Convolution",
        "Dropout",
        "Flatten",
        "FullyConnected",
        "L2Pool",
        "Layer",
        "MaxPool",
        "Softmax",
    ),
    "isograd.network": ("Network",),
    "isograd.plugins": ("hookimpl",),
    "isograd.symbolic": ("function",),
    "isograd.training": ("Callback", "History"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Activation",
    "AveragePool",
    "Backend",
    "BatchNorm",
    "Callback",
    "ConvPool",
    "Convolution",
    "Cost",
    "CrossEntropy",
    "Dataset",
    "DatasetSplits",
    "Dropout",
    "Ensemble",
    "Flatten",
    "FullyConnected",
    "Function",
    "History",
    "IsogradError",
    "L2Pool",
    "Layer",
    "LogLikelihood",
    "MaxPool",
    "Network",
    "Quadratic",
    "Softmax",
    "Tensor",
    "__version__",
    "choose_backend",
    "function",
    "grad",
    "hookimpl",
    "load_dataset",
    "variable",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'isograd' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
