"""Initial values of parameters: a pure function of the seed, the parameter's path and its `ParameterSpec`.

A *scheme* decides for a whole network, as ``init=`` names it, wherever a layer has no initialiser of its own:

======== ======================== ============ ============================================================
scheme   weights                  biases       source
======== ======================== ============ ============================================================
chapter  normal, sqrt(1 / n_out)  normal(0, 1) Nielsen, chapter 6, the listing as printed
n_in     normal, sqrt(1 / n_in)   0            his note of November 2016 on that listing; chapter 3
glorot   normal, sqrt(2 / (n_in   0            Glorot and Bengio, "Understanding the difficulty of training
         + n_out))                             deep feedforward neural networks", AISTATS 2010, equation 12
he       normal, sqrt(2 / n_in)   0            He et al., "Delving deep into rectifiers", ICCV 2015,
                                               equation 10
======== ======================== ============ ============================================================

Under each, a softmax layer starts at zero. Any initialiser is a scheme as well: it then decides for every
parameter, those of a softmax layer too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from isograd import random
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.layers import functions
from isograd.layers.validation import choice, finite, settle

if TYPE_CHECKING:
    from isograd.layers.base import ParameterSpec

Float64Array = npt.NDArray[np.float64]
Fan = Literal["in", "out", "both"]
Role = Literal["weight", "bias", "softmax"]


@dataclass(frozen=True)
class Initialiser(ABC):
    """Gives a parameter its first values. Specs are plain data: they compare, hash and print."""

    @abstractmethod
    def draw(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        """The first values of a parameter.

        Parameters
        ----------
        seed : int
            The network's.
        path : str
            The parameter's, such as "0.weight"; another path gives independent draws.
        spec : ParameterSpec

        Returns
        -------
        ndarray of float64
            Of `spec.shape`, the same bits on every machine. Whoever trains casts it to the run's dtype.
        """

    def __call__(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        return self.draw(seed, path, spec)


InitialiserFunction = Callable[[int, str, "ParameterSpec"], npt.ArrayLike]
InitialiserLike = str | Initialiser | InitialiserFunction
"""What stands for an initialiser: itself, the name of one, or a function (seed, path, spec) -> array."""


@dataclass(frozen=True)
class Normal(Initialiser):
    """mean + standard_deviation * isograd.random.normal(seed, "initialise", path)."""

    standard_deviation: float = 1.0
    mean: float = 0.0

    def __post_init__(self) -> None:
        deviation = finite("Normal", "standard_deviation", self.standard_deviation)
        if deviation < 0:
            raise ArgumentError(f"Normal: standard_deviation is {deviation}; expected 0 or more")
        settle(self, standard_deviation=deviation, mean=finite("Normal", "mean", self.mean))

    def draw(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        draws = random.normal(seed, "initialise", path, shape=spec.shape)
        return draws * self.standard_deviation + self.mean


@dataclass(frozen=True)
class ScaledNormal(Initialiser):
    """sqrt(gain / n) * isograd.random.normal(seed, "initialise", path).

    Attributes
    ----------
    gain : float
        Above 0.
    fan : "in", "out" or "both"
        Whether n is n_in, n_out or n_in + n_out (`fan_in` and `fan_out` of the `ParameterSpec`).
    """

    gain: float = 1.0
    fan: Fan = "in"

    def __post_init__(self) -> None:
        gain = finite("ScaledNormal", "gain", self.gain)
        if gain <= 0:
            raise ArgumentError(f"ScaledNormal: gain is {gain}; expected more than 0")
        choice("ScaledNormal", "fan", self.fan, get_args(Fan))
        settle(self, gain=gain)

    def draw(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        n = {"in": spec.fan_in, "out": spec.fan_out, "both": spec.fan_in + spec.fan_out}[self.fan]
        return random.normal(seed, "initialise", path, shape=spec.shape) * math.sqrt(self.gain / n)


@dataclass(frozen=True)
class Constant(Initialiser):
    """The same number everywhere."""

    value: float = 0.0

    def __post_init__(self) -> None:
        settle(self, value=finite("Constant", "value", self.value))

    def draw(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        return np.full(spec.shape, self.value)


@dataclass(frozen=True)
class FromFunction(Initialiser):
    """What a function of (seed, path, `ParameterSpec`) returns.

    To be reproducible it draws from `isograd.random`, with purpose "initialise" and the path.
    """

    function: InitialiserFunction

    def draw(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        # As it came: `initial_value` checks it before it is cast.
        return np.asarray(self.function(seed, path, spec))


@dataclass(frozen=True)
class SchemeDefault(Initialiser):
    """Stands where the network's scheme decides; `initial_value` puts the scheme's own in its place.

    Attributes
    ----------
    role : "weight", "bias" or "softmax"
        "softmax" is a weight or bias of a softmax layer.
    """

    role: Role

    def draw(self, seed: int, path: str, spec: ParameterSpec) -> Float64Array:
        raise ArgumentError(
            f"{path}: the network's scheme decides its initial value; draw it by `initial_value`"
        )


ZEROS = Constant(0.0)
CHAPTER = ScaledNormal(1.0, "out")
N_IN = ScaledNormal(1.0, "in")
GLOROT = ScaledNormal(2.0, "both")
HE = ScaledNormal(2.0, "in")

functions.add_built_in(
    "initialiser", {"chapter": CHAPTER, "n_in": N_IN, "glorot": GLOROT, "he": HE, "zeros": ZEROS}
)


@dataclass(frozen=True)
class Scheme:
    """The initialisers of a whole network, one for each role."""

    weight: Initialiser
    bias: Initialiser
    softmax: Initialiser = ZEROS


SCHEMES: dict[str, Scheme] = {
    "chapter": Scheme(CHAPTER, bias=Normal()),
    "n_in": Scheme(N_IN, bias=ZEROS),
    "glorot": Scheme(GLOROT, bias=ZEROS),
    "he": Scheme(HE, bias=ZEROS),
}
"""How all weights and biases of a network begin, by the names that `Network(init=...)` takes."""


def as_initialiser(value: InitialiserLike, argument: str = "initialiser") -> Initialiser:
    """The initialiser of a name, of a function or itself. Raises as `functions.lookup` does."""
    function = functions.lookup("initialiser", value, argument)
    return function if isinstance(function, Initialiser) else FromFunction(function)


def as_scheme(value: InitialiserLike, argument: str = "init") -> Scheme:
    """The scheme of a name; of an initialiser (its name, a function or itself), one that is it throughout.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        As `functions.lookup` does.
    """
    if isinstance(value, str) and value in SCHEMES:
        return SCHEMES[value]
    throughout = as_initialiser(value, argument)
    return Scheme(throughout, throughout, throughout)


def initial_value(spec: ParameterSpec, scheme: InitialiserLike, seed: int, path: str) -> Float64Array:
    """A parameter's first values under a scheme.

    Parameters
    ----------
    spec : ParameterSpec
    scheme : str, Initialiser or callable
        Decides where `spec.initialiser` is a `SchemeDefault`; see `as_scheme`.
    seed : int
    path : str

    Returns
    -------
    ndarray of float64
        Of `spec.shape`, in C order, the caller's own.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If the scheme is unknown, or an initialiser returns anything but finite numbers of that shape; the
        message names the path.
    """
    initialiser = spec.initialiser
    if isinstance(initialiser, SchemeDefault):
        initialiser = getattr(as_scheme(scheme), initialiser.role)
    value = np.asarray(initialiser.draw(seed, path, spec))
    if value.dtype.kind not in "iuf":
        raise ArgumentTypeError(f"{path}: {initialiser!r} gave an array of {value.dtype}; expected numbers")
    if value.shape != spec.shape:
        raise ShapeError(f"{path}: {initialiser!r} gave shape {value.shape}; expected {spec.shape}")
    if not np.isfinite(value).all():
        raise ArgumentError(f"{path}: {initialiser!r} gave numbers that are not finite")
    return np.array(value, np.float64, order="C")
