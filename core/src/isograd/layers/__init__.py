"""Layer specs: what a network is made of, as data.

A spec is a frozen dataclass. It infers shapes, declares parameters, state and dropout masks, and builds graph
(`isograd.layers.base.Layer` is the contract); it holds no arrays and knows no backend.

    from isograd.layers import ConvPool, FullyConnected, Softmax

    layers = [ConvPool(20, window=5), FullyConnected(100), Softmax(10)]
"""

from __future__ import annotations

from isograd.layers import functions
from isograd.layers.base import Layer, MaskSpec, Mode, ParameterSpec, StateSpec
from isograd.layers.convolution import Convolution, ConvPool
from isograd.layers.dense import FullyConnected, Softmax
from isograd.layers.initialisers import (
    SCHEMES,
    Constant,
    FromFunction,
    Initialiser,
    InitialiserLike,
    Normal,
    ScaledNormal,
    Scheme,
    SchemeDefault,
    as_initialiser,
    as_scheme,
    initial_value,
)
from isograd.layers.normalisation import BatchNorm
from isograd.layers.pooling import AveragePool, L2Pool, MaxPool
from isograd.layers.serialise import (
    FORMAT,
    from_data,
    from_json,
    from_toml,
    initialiser_from_data,
    initialiser_to_data,
    layer_types,
    layers_from_data,
    layers_to_data,
    to_data,
    to_json,
    to_toml,
)
from isograd.layers.simple import Activation, Dropout, Flatten
from isograd.layers.weighted import WeightedLayer

__all__ = [
    "FORMAT",
    "SCHEMES",
    "Activation",
    "AveragePool",
    "BatchNorm",
    "Constant",
    "ConvPool",
    "Convolution",
    "Dropout",
    "Flatten",
    "FromFunction",
    "FullyConnected",
    "Initialiser",
    "InitialiserLike",
    "L2Pool",
    "Layer",
    "MaskSpec",
    "MaxPool",
    "Mode",
    "Normal",
    "ParameterSpec",
    "ScaledNormal",
    "Scheme",
    "SchemeDefault",
    "Softmax",
    "StateSpec",
    "WeightedLayer",
    "as_initialiser",
    "as_scheme",
    "from_data",
    "from_json",
    "from_toml",
    "functions",
    "initial_value",
    "initialiser_from_data",
    "initialiser_to_data",
    "layer_types",
    "layers_from_data",
    "layers_to_data",
    "to_data",
    "to_json",
    "to_toml",
]
