"""The names of the program that isograd descends from, `network3.py` of Nielsen's chapter 6, over isograd.

The chapter's listings, and scripts written for it, run with another import and print the same lines:

    from isograd import network3
    from isograd.network3 import ConvPoolLayer, FullyConnectedLayer, Network, ReLU, SoftmaxLayer

    training_data, validation_data, test_data = network3.load_data_shared()
    net = Network([FullyConnectedLayer(n_in=784, n_out=100), SoftmaxLayer(n_in=100, n_out=10)], 10)
    net.SGD(training_data, 60, 10, 0.1, validation_data, test_data)

docs/network3.md says what differs from the listing. Whatever goes further (momentum, early stopping, files,
augmentation, ...) is in `isograd.Network`, of which `Network.network` is one.
"""

from __future__ import annotations

from isograd.graph import linear, sigmoid, tanh
from isograd.graph import relu as ReLU
from isograd.network3.data import SharedInputs, SharedLabels, load_data_shared, shared, size
from isograd.network3.layers import ConvPoolLayer, FullyConnectedLayer, SoftmaxLayer, dropout_layer
from isograd.network3.network import Network
from isograd.network3.variables import SharedVariable

__all__ = [
    "ConvPoolLayer",
    "FullyConnectedLayer",
    "Network",
    "ReLU",
    "SharedInputs",
    "SharedLabels",
    "SharedVariable",
    "SoftmaxLayer",
    "dropout_layer",
    "linear",
    "load_data_shared",
    "shared",
    "sigmoid",
    "size",
    "tanh",
]


def __getattr__(name: str) -> object:
    hint = ""
    if name == "GPU":
        hint = (
            "; where to compute is said by a backend, as in Network(..., backend=NAME:DEVICE), or by the "
            "environment variable ISOGRAD_BACKEND"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
