"""Values for variables, of every dtype and kind, and layouts of memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from hypothesis import strategies as st

from isograd.graph import FLOATING, Function, Tensor
from isograd_conformance.subject import HostArray

SEEDS = st.integers(0, 2**32 - 1)

# Small whole numbers with many ties and both zeros; ordinary numbers; those and NaN and infinities; and the
# ends of the range: overflow, underflow, and sums that cancel.
KINDS = ("tied", "ordinary", "special", "extreme")

# Makes the values of an operand: (generator, kind, shape, dtype).
Fill = Callable[[np.random.Generator, str, tuple[int, ...], str], HostArray]


def numbers(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str) -> HostArray:
    """Any numbers of the dtype; whole ones are small but for the special."""
    if dtype not in FLOATING:
        if kind == "special" and dtype != "bool":
            # Beyond 8 and 16 bits, and no product of two of them beyond 32.
            wide = [0, 100, 101, 255] if dtype == "uint8" else [-40_000, 40_000, 100, 101, -300]
            return rng.choice(wide, size=shape).astype(dtype)
        low = 0 if dtype in ("bool", "uint8") else -4
        return rng.integers(low, 2 if dtype == "bool" else 5, size=shape).astype(dtype)
    if kind == "ordinary":
        return np.asarray(rng.normal(size=shape) * 3, dtype)
    if kind == "extreme":
        return extremes(rng, shape, dtype)
    choices = [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]
    if kind == "special":
        smallest = float(np.finfo(dtype).smallest_subnormal)
        choices += [np.nan, np.inf, -np.inf, -np.inf, smallest, 1e30]
    return np.asarray(rng.choice(choices, size=shape), dtype)


def extremes(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> HostArray:
    """The ends of the range, and of those of exp, of either sign; logits of 1e4, and numbers beside 1."""
    limits = np.finfo(dtype)
    overflow, underflow = np.log(float(limits.max)), np.log(float(limits.smallest_normal))
    choices = [float(limits.max), float(limits.max) / 2, float(limits.max) ** 0.5]
    choices += [float(limits.smallest_normal) * part for part in (1, 1.5, 0.25)]
    choices += [float(limits.smallest_subnormal), 1e4, 1 + float(limits.eps), 1 - float(limits.eps) / 2]
    choices += [overflow * part for part in (1 - 2.0**-6, 1 + 2.0**-6)]
    choices += [-underflow * part for part in (1 - 2.0**-6, 1 + 2.0**-6)]
    return np.asarray(rng.choice(choices, size=shape) * rng.choice([1.0, -1.0], size=shape), dtype)


def cancelling(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> HostArray:
    """Large numbers of either sign beside small ones, whose sums cancel."""
    return np.asarray(
        rng.choice([2.0**20, 1.0, 3.0, 2.0**-20], size=shape) * rng.choice([1, -1], size=shape), dtype
    )


def finite(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str) -> HostArray:
    """Finite numbers whose products are so too; whole ones where they are to be tied."""
    if kind == "extreme" and dtype in FLOATING:
        return cancelling(rng, shape, dtype)
    return numbers(rng, "tied" if kind == "tied" else "ordinary", shape, dtype)


def not_negative(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str) -> HostArray:
    """Finite numbers of at least 0, which every dtype can hold after truncation."""
    return np.abs(finite(rng, "tied" if kind == "tied" else "ordinary", shape, dtype))


def truths(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str) -> HostArray:
    """False and True, or 0 and 1."""
    return rng.integers(0, 2, size=shape).astype(dtype)


def below(limit: int) -> Fill:
    """Indices from 0 to limit - 1."""

    def fill(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: str) -> HostArray:
        return rng.integers(0, max(limit, 1), size=shape).astype(dtype)

    return fill


def normal(seed: int, tensors: Mapping[str, Tensor]) -> dict[str, HostArray]:
    """Standard normal numbers for floating-point tensors, 0 and 1 for the others."""
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(
            rng.normal(size=t.shape) if t.dtype in FLOATING else rng.integers(0, 2, size=t.shape), t.dtype
        )
        for name, t in tensors.items()
    }


def arguments(function: Function, seed: int) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
    """Inputs and state for a function: normal numbers, and indices in their range."""
    values = normal(seed, {**function.inputs, **function.state})
    rng = np.random.default_rng(seed)
    for name, limit in function.index_limits.items():
        values[name] = below(limit)(rng, "ordinary", values[name].shape, "int32")
    return {n: values[n] for n in function.inputs}, {n: values[n] for n in function.state}


def _backwards(a: HostArray) -> HostArray:
    reverse = tuple(slice(None, None, -1) for _ in a.shape)
    return a[reverse].copy()[reverse] if a.ndim else a.copy()


# The same values in another layout of memory.
LAYOUTS: dict[str, Callable[[HostArray], HostArray]] = {
    "C order": np.copy,
    "Fortran order": lambda a: a.copy(order="F"),
    "reversed": _backwards,
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a.copy(),
    "transposed": lambda a: a.transpose().copy().transpose(),
    "every third row": lambda a: np.repeat(a, 3, axis=0)[1::3] if a.ndim else a.copy(),
}


def read_only(a: HostArray) -> HostArray:
    """A view that can not be written to."""
    view = a.view()
    view.flags.writeable = False
    return view


def relaid(seed: int, arrays: Mapping[str, HostArray]) -> dict[str, HostArray]:
    """The same values in other layouts of memory, read-only."""
    rng = np.random.default_rng(seed)
    layouts = list(LAYOUTS.values())
    return {name: read_only(layouts[rng.integers(len(layouts))](array)) for name, array in arrays.items()}
