"""Planted faults are caught by the suite's own tests; correct variants of an evaluation are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from isograd.backend import Backend
from isograd.graph import reference
from isograd.graph.reference import REFERENCE
from isograd.testing import ReferenceBackend, ReferenceExecutable
from isograd_conformance import options
from isograd_conformance.options import Options
from isograd_conformance.subject import Subject

Array = npt.NDArray[Any]
Make = Callable[..., Backend]
SubjectOf = Callable[[Backend], Subject]
CAUGHT = (AssertionError, BaseExceptionGroup)  # Hypothesis groups failures that differ


def suite(module: str) -> Any:
    """A module of the suite, whose tests do not shrink: that something is caught is all that is asked."""
    options.enter(Options(shrink=False))
    try:
        return import_module(f"isograd_conformance.suite.{module}")
    finally:
        options.leave()


def primitive(name: str, dtype: str) -> Callable[[Subject], None]:
    def run(subject: Subject) -> None:
        suite(
            "test_primitives"
        ).test_a_primitive_is_what_the_reference_says_whatever_its_operands_are_made_of(
            name=name, dtype=dtype, subject=subject
        )

    return run


def conventions(subject: Subject) -> None:
    suite("test_conventions").test_values_and_symbolic_gradients("float32", subject)


def _last_maximum(x: Array, *, axis: int) -> Array:
    return x.shape[axis] - 1 - np.flip(x, axis).argmax(axis)


def _without_duplicates(updates: Array, indices: Array, *, size: int) -> Array:
    y = np.zeros((size, *updates.shape[indices.ndim :]), updates.dtype)
    y[indices] = updates
    return y


def _flipped(x: Array, w: Array, **attributes: Any) -> Array:
    return REFERENCE["conv2d"](x, w[:, :, ::-1, ::-1], **attributes)


def _undilated(x: Array, g: Array, *, filter_size: Any, dilation: Any, **attributes: Any) -> Array:
    return REFERENCE["conv2d_dw"](x, g, filter_size=filter_size, dilation=(1, 1), **attributes)


def _groups_as_one(x: Array, w: Array, *, groups: int, **attributes: Any) -> Array:
    return REFERENCE["conv2d"](x, np.tile(w, (1, groups, 1, 1)), groups=1, **attributes)


def _in_half_precision(a: Array, b: Array) -> Array:
    return (a.astype("float16") @ b.astype("float16")).astype(a.dtype)


def _in_single_precision(x: Array, **attributes: Any) -> Array:
    return REFERENCE["exp"](x.astype("float32"), **attributes).astype(x.dtype)


def _naive_logsumexp(x: Array, *, axes: Any) -> Array:
    return np.asarray(np.log(np.exp(x).sum(axis=axes)))


FAULTS: dict[str, tuple[dict[str, Any], Callable[[Subject], None]]] = {
    "a product scaled by 1 + 1e-4": ({"mul": lambda a, b: a * b * (1 + 1e-4)}, primitive("mul", "float32")),
    "kernel flipped": ({"conv2d": _flipped}, primitive("conv2d", "float32")),
    "dilation ignored backwards": ({"conv2d_dw": _undilated}, primitive("conv2d_dw", "float64")),
    "groups ignored": ({"conv2d": _groups_as_one}, primitive("conv2d", "float64")),
    "argmax takes the last": ({"argmax": _last_maximum}, primitive("argmax", "float32")),
    "duplicates lost": ({"scatter_add": _without_duplicates}, primitive("scatter_add", "float32")),
    "half precision": ({"matmul": _in_half_precision}, primitive("matmul", "float32")),
    "double computed in single": ({"exp": _in_single_precision}, primitive("exp", "float64")),
    "naive logsumexp": ({"logsumexp": _naive_logsumexp}, conventions),
    "relu swallows NaN": ({"relu": lambda x: np.where(x > 0, x, 0)}, conventions),
    "sign(0) is 1": ({"sign": lambda x: np.where(x < 0, -1, np.where(x >= 0, 1, x))}, conventions),
    "maximum ignores NaN": ({"maximum": np.fmax}, conventions),
    "the sign of zero lost": ({"neg": lambda x: 0 - x}, primitive("neg", "float32")),
    "mean for sum": (
        {"reduce_sum": lambda x, *, axes: np.mean(x, axis=axes) if axes and x.size else x.sum(axis=axes)},
        primitive("reduce_sum", "float32"),
    ),
    "pooling padded with zeros": (
        {"max_pool2d": lambda x, **a: np.maximum(REFERENCE["max_pool2d"](x, **a), 0)},
        primitive("max_pool2d", "float32"),
    ),
    "a quarter of a derivative": (
        {"sigmoid": lambda x: REFERENCE["sigmoid"](x) * 0.5},
        primitive("sigmoid", "float32"),
    ),
}


@pytest.mark.parametrize(("table", "test"), FAULTS.values(), ids=FAULTS.keys())
def test_a_wrong_primitive_is_caught(
    table: dict[str, Any],
    test: Callable[[Subject], None],
    table_backend: Make,
    subject_of: SubjectOf,
) -> None:
    with pytest.raises(CAUGHT):
        test(subject_of(table_backend(**table)))


class OneAfterAnother(ReferenceExecutable):
    """Applies each update before the next is computed."""

    def __call__(self, inputs: Mapping[str, Array], state: Mapping[str, Array]) -> Any:
        outputs, _ = reference.call(self.function, inputs, state)
        for name, tensor in self.function.updates.items():
            state = {**state, name: reference.evaluate([tensor], {**inputs, **state})[0]}
        return outputs, dict(state)


class Reusing(ReferenceExecutable):
    """Hands out the same memory at every call."""

    def __call__(self, inputs: Mapping[str, Array], state: Mapping[str, Array]) -> Any:
        outputs, new = super().__call__(inputs, state)
        held: dict[str, Array] = self.__dict__.setdefault("held", {})
        for name, array in outputs.items():
            np.copyto(held.setdefault(name, np.empty_like(array)), array)
        return {name: held[name] for name in outputs}, new


class Mutating(ReferenceExecutable):
    """Writes the new state into the old one."""

    def __call__(self, inputs: Mapping[str, Array], state: Mapping[str, Array]) -> Any:
        outputs, new = super().__call__(inputs, state)
        for name, array in state.items():
            if array.flags.writeable:
                np.copyto(array, new[name])
        return outputs, new


class Counting(ReferenceExecutable):
    """Has a memory: the second call differs from the first."""

    def __call__(self, inputs: Mapping[str, Array], state: Mapping[str, Array]) -> Any:
        outputs, new = super().__call__(inputs, state)
        self.__dict__["calls"] = calls = self.__dict__.get("calls", 0) + 1
        tiny = 2.0 ** -(40 if calls % 2 else 41)
        return outputs, {n: a + a.dtype.type(tiny) if a.dtype.kind == "f" else a for n, a in new.items()}


class Wrapped(ReferenceBackend):
    """The reference backend with executables of another class."""

    def __init__(self, kind: type[ReferenceExecutable]) -> None:
        self.kind = kind

    def compile(self, function: Any, device: str) -> ReferenceExecutable:
        made = super().compile(function, device)
        return self.kind(made.function, made.device)


def random_functions(subject: Subject) -> None:
    suite("test_functions").test_a_function_is_what_the_reference_says_and_its_results_outlive_the_next_call(
        subject=subject
    )


def swaps(subject: Subject) -> None:
    form = suite("test_updates").FORMS["swap"]
    suite("test_updates").test_updates_come_from_the_old_state(build=form, subject=subject)


@pytest.mark.parametrize(
    ("kind", "test"),
    [(OneAfterAnother, swaps), (Reusing, random_functions), (Mutating, random_functions), (Counting, swaps)],
)
def test_an_executable_that_is_not_pure_is_caught(
    kind: type[ReferenceExecutable], test: Callable[[Subject], None], subject_of: SubjectOf
) -> None:
    with pytest.raises(CAUGHT):
        test(subject_of(Wrapped(kind)))


class LosingBits(ReferenceBackend):
    """Moves arrays by way of single precision."""

    def to_device(self, array: Array, device: str) -> Array:
        made = super().to_device(array, device)
        with np.errstate(over="ignore"):
            return made.astype("float32").astype("float64") if made.dtype == "float64" else made


def test_a_transfer_that_loses_bits_is_caught(subject_of: SubjectOf) -> None:
    with pytest.raises(CAUGHT):
        suite("test_transfers").test_any_bits_in_any_layout(dtype="float64", subject=subject_of(LosingBits()))


def _backwards(a: Array, b: Array) -> Array:
    """The products added in the opposite order."""
    y = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in reversed(range(a.shape[-1])):
        y += a[..., :, k, None] * b[..., None, k, :]
    return y


def _fused(a: Array, b: Array) -> Array:
    """Products and sums rounded once, at the end."""
    return np.asarray((a.astype("longdouble") @ b.astype("longdouble")).astype(a.dtype))


def _total_in_pairs(x: Array, *, axes: Any) -> Array:
    for axis in sorted(axes, reverse=True):
        while x.shape[axis] > 1:
            odd = x.shape[axis] % 2
            head = np.take(x, range(x.shape[axis] - odd), axis)
            tail = np.take(x, range(x.shape[axis] - odd, x.shape[axis]), axis)
            halves = np.split(head, 2, axis)
            x = np.concatenate([halves[0] + halves[1], tail], axis)
        x = x.sum(axis=axis)
    return x


CORRECT: dict[str, tuple[dict[str, Any], str]] = {
    "a sum in the opposite order": ({"matmul": _backwards}, "matmul"),
    "a sum rounded once": ({"matmul": _fused}, "matmul"),
    "a sum in pairs": ({"reduce_sum": _total_in_pairs}, "reduce_sum"),
    "tanh rounded from double precision": ({"tanh": lambda x: np.tanh(x.astype("float64"))}, "tanh"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("table", "name"), CORRECT.values(), ids=CORRECT.keys())
def test_a_correct_variant_raises_no_alarm(
    table: dict[str, Any], name: str, dtype: str, table_backend: Make, subject_of: SubjectOf
) -> None:
    primitive(name, dtype)(subject_of(table_backend(**table)))
