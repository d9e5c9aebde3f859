"""Randomness is data: every random number of a run is a pure function of its name.

The name is (seed, purpose, path, epoch, step). Nothing here keeps a state, so a draw can be repeated, skipped
or made in another order, on any machine, and gives the same bits. Initial weights, shuffles and dropout masks
are drawn here, on the host, and handed to a backend as arrays. The stream is Philox4x64-10 (Salmon, Moraes,
Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and only raw words of it are used,
because NumPy guarantees those and not the methods of `Generator`.

The recipe, for a program in another language
---------------------------------------------
key
    Two 64-bit words: the seed; and the first 8 bytes, read little-endian, of SHA-256 of the UTF-8 text
    ``purpose + "/" + path``.
counter
    Four 64-bit words, least significant first: (block, step, epoch, 0). Blocks count from **1** (NumPy
    increments the counter before it encrypts), and one block gives four words.
word i
    Element ``i % 4`` of Philox4x64-10(key, (1 + i // 4, step, epoch, 0)). Arrays are filled in C order.
uniform
    ``k * 2**-53`` with ``k = word >> 11``: exact, in [0, 1).
int16
    Number i is bits ``16 * (i % 4)`` to ``16 * (i % 4) + 15`` of word ``i // 4``, in two's complement.
augmentation
    Uniforms, or for `Elastic` int16s, purpose ``"augment"``, path the augmentation's place in its list and
    its type, such as ``"0.Affine"``; shape (rows, ...), as its class says.
sample
    Of the training data for `isograd.training.Diagnostics`: the first of the stable argsort of the words;
    purpose ``"diagnostics"``, path ``""``, epoch and step 0.
dropout mask
    ``uniform < 1 - p``, purpose ``"dropout"``, path that of the layer; ``1 - p`` is rounded to double
    precision.
permutation
    The stable argsort of the words; purpose ``"shuffle"``, path ``""``, step 0.
normal
    The inverse of the normal distribution function at ``(k + 1/2) * 2**-53``, by Wichura's PPND16 ("Algorithm
    AS 241: the percentage points of the normal distribution", Applied Statistics 37, 1988), in IEEE double
    precision, every operation rounded to nearest and none fused. The argument itself is never rounded (it
    could become 1): with the odd integer ``m = 2 * k + 1 - 2**53`` the following are exact, ``q = m *
    2**-54`` (the argument less 1/2) and ``t = (2**53 - abs(m)) * 2**-54`` (the nearer tail's probability).

    - ``abs(q) <= 0.425``: ``r = 0.180625 - q * q``; the result is ``q * A(r) / B(r)``, from left to right.
    - otherwise ``r = sqrt(-log(t))``; the result has the sign of q and the magnitude ``C(r - 1.6) / D(r -
      1.6)`` where ``r <= 5``, else ``E(r - 5) / F(r - 5)``.
    - A to F have the published coefficients (`_A` to `_F` below, highest degree first), each rounded to the
      nearest double, and are evaluated by Horner's rule: ``((c7 * r + c6) * r + c5) ...``.
    - ``log(t)``: write ``t = f * 2**e`` with 0.5 <= f < 1; where ``f < 0x1.6a09e667f3bcdp-1`` double f and
      take 1 from e. Then ``s = (f - 1) / (f + 1)``, ``z = s * s``, and ``log(t) = e * 0x1.62e42fefa39efp-1 +
      2 * s * S(z)``, S by Horner's rule with the coefficients 1/21, 1/19, ... 1/3, 1, each the rounded
      quotient. A library's log is not used: those of different processors differ in the last bit.

Cost, measured: 11 microseconds a call, for the generator; 4.5 nanoseconds a word; 2 microseconds a further
step of `keep_masks`.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError

__all__ = ["int16s", "keep_mask", "keep_masks", "normal", "permutation", "uniform", "uniforms", "words"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

_WORD_LIMIT = 2**64
# Words are drawn in blocks of 128 KiB, so that the temporaries of a large array stay in a processor's cache.
_BLOCK = 2**14


def words(
    seed: int,
    purpose: str,
    path: str,
    *,
    step: int = 0,
    epoch: int = 0,
    count: int,
) -> npt.NDArray[np.uint64]:
    """The first `count` raw words of a stream: uint64, shape (count,).

    Parameters
    ----------
    seed, step, epoch : int
        Each from 0 to 2**64 - 1.
    purpose : str
        What the numbers are for, for example ``"initialise"``; it contains no ``/``.
    path : str
        Whose numbers they are, for example the parameter path ``"0.weight"``.
    count : int
        How many; a shorter draw is the beginning of a longer one.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        A number is out of its range or not an integer; the purpose contains ``/``.
    """
    generator = _generator(seed, purpose, path, step, epoch)
    return generator.random_raw(_integer("count", count, 2**63))


def uniform(
    seed: int,
    purpose: str,
    path: str,
    *,
    shape: Sequence[int],
    step: int = 0,
    epoch: int = 0,
) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), multiples of 2**-53: float64 of `shape`. Arguments as for `words`."""
    shape = _shape(shape)
    result = np.empty(math.prod(shape))
    for block, raw in _blocks(_generator(seed, purpose, path, step, epoch), result):
        np.multiply(raw >> 11, 2.0**-53, out=block)
    return result.reshape(shape)


def uniforms(
    seed: int,
    purpose: str,
    path: str,
    *,
    epoch: int,
    first_step: int,
    steps: int,
    shape: Sequence[int],
) -> npt.NDArray[np.float64]:
    """The uniform numbers of successive steps: float64 of shape (steps, *shape).

    Row i is `uniform` at step ``first_step + i``, bit for bit, however the steps are divided into chunks.
    """
    shape = _shape(shape)
    steps = _integer("steps", steps, 2**63)
    result = np.empty((steps, math.prod(shape)))
    for row, generator in zip(result, _each_step(seed, purpose, path, epoch, first_step, steps), strict=True):
        for block, raw in _blocks(generator, row):
            np.multiply(raw >> 11, 2.0**-53, out=block)
    return result.reshape(steps, *shape)


def int16s(
    seed: int,
    purpose: str,
    path: str,
    *,
    epoch: int,
    first_step: int,
    steps: int,
    shape: Sequence[int],
) -> npt.NDArray[np.int16]:
    """Every 16-bit integer as likely as another, for successive steps: int16 of shape (steps, *shape).

    A word gives four, at a quarter of the price of `uniforms`; a step begins with a new word.
    """
    shape = _shape(shape)
    steps = _integer("steps", steps, 2**63)
    count = math.prod(shape)
    drawn = np.empty((steps, -(-count // 4)), "<u8")
    for row, generator in zip(drawn, _each_step(seed, purpose, path, epoch, first_step, steps), strict=True):
        for block, raw in _blocks(generator, row):
            block[:] = raw
    # Little-endian in memory, so that the lowest bits come first on every machine.
    return drawn.view("<i2")[:, :count].astype(np.int16, copy=False).reshape(steps, *shape)


def normal(
    seed: int,
    purpose: str,
    path: str,
    *,
    shape: Sequence[int],
    step: int = 0,
    epoch: int = 0,
) -> npt.NDArray[np.float64]:
    """Standard normal numbers (mean 0, variance 1): float64 of `shape`. Arguments as for `words`.

    The largest magnitude is 8.29 (a tail of 2**-54). Each differs from the exact inverse distribution
    function by less than 40 * 2**-53 of its magnitude; the bits are the same on every machine. Source: AS
    241, see the module.
    """
    shape = _shape(shape)
    result = np.empty(math.prod(shape))
    for block, raw in _blocks(_generator(seed, purpose, path, step, epoch), result):
        block[:] = _inverse_normal(raw)
    return result.reshape(shape)


def permutation(seed: int, *, epoch: int, size: int) -> npt.NDArray[np.int32]:
    """The order in which an epoch visits `size` examples: int32, shape (size,), each number once."""
    raw = words(seed, "shuffle", "", epoch=epoch, count=_integer("size", size, 2**31))
    # Sorting the words with their places in their lowest bits takes a third of the time of an argsort. It is
    # the same order unless two words agree in all other bits.
    bits = max(size - 1, 1).bit_length()
    places = np.arange(size, dtype=np.uint64)
    ordered = np.sort((raw >> np.uint64(bits) << np.uint64(bits)) | places)
    leading = ordered >> np.uint64(bits)
    if (leading[1:] == leading[:-1]).any():
        return np.argsort(raw, kind="stable").astype(np.int32)
    return (ordered & np.uint64((1 << bits) - 1)).astype(np.int32)


def keep_mask(
    seed: int,
    path: str,
    *,
    shape: Sequence[int],
    p_dropout: float,
    step: int = 0,
    epoch: int = 0,
) -> npt.NDArray[np.bool_]:
    """One step's dropout mask: bool of the given shape, True (keep) with probability 1 - p_dropout.

    Parameters
    ----------
    path : str
        The path of the layer that drops.
    p_dropout : float
        The probability that an activation is dropped, from 0 (none) to 1 (all).
    seed, step, epoch, shape
        As for `uniform`.
    """
    masks = keep_masks(seed, path, epoch=epoch, first_step=step, steps=1, shape=shape, p_dropout=p_dropout)
    return masks.reshape(masks.shape[1:])


def keep_masks(
    seed: int,
    path: str,
    *,
    epoch: int,
    first_step: int,
    steps: int,
    shape: Sequence[int],
    p_dropout: float,
) -> npt.NDArray[np.bool_]:
    """The masks of successive steps: bool of shape (steps, *shape).

    Row i is `keep_mask` at step ``first_step + i``, bit for bit, however the steps are divided into chunks.
    """
    shape = _shape(shape)
    steps = _integer("steps", steps, 2**63)
    if not isinstance(p_dropout, int | float | np.floating) or not 0 <= p_dropout <= 1:
        raise ArgumentError(f"p_dropout: expected a probability from 0 to 1, got {p_dropout!r}")
    # (word >> 11) * 2**-53 < keep  <=>  word < ceil(keep * 2**53) * 2**11,
    # every step exact: one integer comparison instead of a shift, a conversion and a product.
    bound = math.ceil((1.0 - float(p_dropout)) * 2.0**53) << 11
    masks = np.zeros((steps, math.prod(shape)), np.bool_)
    generators = _each_step(seed, "dropout", path, epoch, first_step, steps)
    for mask, generator in zip(masks, generators, strict=True):
        for block, raw in _blocks(generator, mask) if bound else ():
            np.less_equal(raw, np.uint64(bound - 1), out=block)
    return masks.reshape(steps, *shape)


def _each_step(
    seed: int, purpose: str, path: str, epoch: int, first_step: int, steps: int
) -> Iterator[np.random.Philox]:
    """The generators of successive steps, each to be used before the next is asked for."""
    first_step = _integer("first_step", first_step, _WORD_LIMIT - max(steps - 1, 0))
    generator = _generator(seed, purpose, path, first_step, epoch)
    state = generator.state
    for step in range(first_step, first_step + steps):
        # Ten times quicker than a new generator; the buffer of this state is empty, so no old word stays.
        state["state"]["counter"][1] = step
        generator.state = state
        yield generator


def _generator(seed: int, purpose: str, path: str, step: int, epoch: int) -> np.random.Philox:
    if "/" in purpose:
        raise ArgumentError(
            f"purpose: may not contain '/', which separates it from the path; got {purpose!r}"
        )
    digest = hashlib.sha256(f"{purpose}/{path}".encode()).digest()
    key = [_integer("seed", seed, _WORD_LIMIT), int.from_bytes(digest[:8], "little")]
    counter = [0, _integer("step", step, _WORD_LIMIT), _integer("epoch", epoch, _WORD_LIMIT), 0]
    return np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64))


def _blocks(
    generator: np.random.Philox, target: npt.NDArray[_Scalar]
) -> Iterator[tuple[npt.NDArray[_Scalar], npt.NDArray[np.uint64]]]:
    """Views of consecutive parts of `target`, each with as many further words."""
    for start in range(0, target.size, _BLOCK):
        part = target[start : start + _BLOCK]
        yield part, generator.random_raw(part.size)


def _integer(name: str, value: int, limit: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if not 0 <= number < limit:
        raise ArgumentError(f"{name}: expected 0 <= {name} < {limit}, got {number}")
    return number


def _shape(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(_integer("shape", extent, 2**63) for extent in shape)


# Wichura 1988, PPND16: A and B for the centre, C and D for the tails, E and F for the far tails.
# fmt: off
_A = (
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.387132872796366608,
)
_B = (
    5.226495278852854561e3, 2.8729085735721942674e4, 3.930789580009271061e4, 2.1213794301586595867e4,
    5.3941960214247511077e3, 6.871870074920579083e2, 4.2313330701600911252e1, 1.0,
)
_C = (
    7.7454501427834140764e-4, 2.27238449892691845833e-2, 2.4178072517745061177e-1, 1.27045825245236838258,
    3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734,
)
_D = (
    1.05075007164441684324e-9, 5.475938084995344946e-4, 1.51986665636164571966e-2, 1.4810397642748007459e-1,
    6.8976733498510000455e-1, 1.6763848301838038494, 2.05319162663775882187, 1.0,
)
_E = (
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.2426609473880784386e-3, 2.6532189526576123093e-2,
    2.9656057182850489123e-1, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772,
)
_F = (
    2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
    1.48753612908506148525e-2, 1.3692988092273580531e-1, 5.9983220655588793769e-1, 1.0,
)
# fmt: on

# log(f) = 2 artanh(s): the first term left out, z**11 / 23, is below 2**-60 of the sum, since z < 0.0295.
_ARTANH = tuple(1.0 / odd for odd in range(21, 0, -2))
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_LOG_2 = float.fromhex("0x1.62e42fefa39efp-1")


def _inverse_normal(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    odd = (raw >> 10 | 1).astype(np.int64) - 2**53
    q = odd * 2.0**-54
    result = np.empty_like(q)
    central = np.abs(q) <= 0.425
    q_central = q[central]
    r = 0.180625 - q_central * q_central
    result[central] = q_central * _polynomial(_A, r) / _polynomial(_B, r)
    tail = ~central
    magnitude = _tail_quantile((2**53 - np.abs(odd[tail])) * 2.0**-54)
    result[tail] = np.copysign(magnitude, q[tail])
    return result


def _tail_quantile(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    r = np.sqrt(-_log(probability))
    far = r > 5.0
    near = r - 1.6
    result = _polynomial(_C, near) / _polynomial(_D, near)
    if far.any():
        beyond = r[far] - 5.0
        result[far] = _polynomial(_E, beyond) / _polynomial(_F, beyond)
    return result


def _log(positive: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    fraction, exponent = np.frexp(positive)
    low = fraction < _SQRT_HALF
    fraction[low] *= 2.0
    exponent -= low
    s = (fraction - 1.0) / (fraction + 1.0)
    return exponent * _LOG_2 + 2.0 * s * _polynomial(_ARTANH, s * s)


def _polynomial(coefficients: tuple[float, ...], x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Horner's rule; each operation is one NumPy call, which no compiler can fuse with the next."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result *= x
        result += coefficient
    return result
