"""What this backend promises beyond the contract: fresh memory, and the same bits by steps as by calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd_conformance.bounds import agree
from isograd_conformance.checks import assert_same_bits, bytes_of, check
from isograd_conformance.steps import call_chain, run_cut
from isograd_conformance.strategies.arrays import SEEDS, arguments, normal, relaid
from isograd_conformance.strategies.functions import functions
from isograd_conformance.strategies.updates import FORMS, Form, function_of
from isograd_conformance.subject import Subject
from isograd_numpy import executable as executable_module
from isograd_numpy.backend import NumpyBackend
from isograd_numpy.lowering import LOWERINGS
from isograd_numpy.plugin import descriptor

ANY = functions(("float32", "float64"))


def test_every_primitive_has_a_lowering() -> None:
    assert LOWERINGS.keys() == G.PRIMITIVES.keys()


def test_the_descriptor_loads_what_it_describes() -> None:
    made = descriptor.load()
    assert isinstance(made, NumpyBackend)
    assert (made.name, made.capabilities.dtypes) == (descriptor.name, frozenset(descriptor.dtypes))


@pytest.mark.parametrize("dtype", G.DTYPES)
def test_data_are_used_where_they_lie(dtype: str, backend: NumpyBackend) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert backend.to_host(backend.to_device(array, "cpu")) is array


@given(function=ANY, seed=SEEDS)
def test_results_share_memory_with_nothing_and_outlive_the_next_call(
    function: G.Function, seed: int, backend: NumpyBackend
) -> None:
    executable = backend.compile(function, "cpu")
    inputs, state = arguments(function, seed)
    outputs, new = executable(inputs, state)
    kept = bytes_of(outputs), bytes_of(new)
    others = executable(*arguments(function, seed + 1))
    assert (bytes_of(outputs), bytes_of(new)) == kept
    arrays = [a for part in (outputs, new, *others, inputs, state) for a in part.values()]
    for i, array in enumerate(arrays):
        assert not any(np.may_share_memory(array, other) for other in arrays[:i])


@contextmanager
def bound_from(size: int) -> Iterator[None]:
    """Resident arrays of at least so many bytes are read where they lie, smaller ones copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executable_module, "_BOUND_BYTES", size)
        yield


BOUND = st.sampled_from([0, 64, 2**40])


@given(function=ANY, seed=SEEDS, bound_bytes=BOUND)
def test_resident_arrays_of_any_layout_are_read_where_they_lie(
    function: G.Function, seed: int, bound_bytes: int, backend: NumpyBackend
) -> None:
    executable = backend.compile(function, "cpu")
    inputs, state = arguments(function, seed)
    with bound_from(bound_bytes):
        stacked, new = executable.run_steps(relaid(seed, state), relaid(seed + 2, inputs), {}, 1)
    agree({n: a[0] for n, a in stacked.items()}, function.outputs, {**inputs, **state})
    agree(new, {**function.state, **function.updates}, {**inputs, **state})


@given(
    function=ANY,
    seed=SEEDS,
    bound_bytes=BOUND,
    steps=st.integers(1, 4),
    cut=st.integers(0, 4),
    data=st.data(),
)
def test_steps_are_calls_to_the_bit_however_they_are_cut_into_chunks(
    function: G.Function,
    seed: int,
    bound_bytes: int,
    steps: int,
    cut: int,
    data: st.DataObject,
    numpy: Subject,
) -> None:
    executable = numpy.compile(function)
    rows = [arguments(function, seed + i)[0] for i in range(steps)]
    start = arguments(function, seed)[1]
    resident = {n: rows[0][n] for n in data.draw(st.sets(st.sampled_from(sorted(function.inputs))))}
    chunks = [n for n in (min(cut, steps), steps - min(cut, steps)) if n]
    with bound_from(bound_bytes):
        found = run_cut(numpy, executable, rows, start, resident, chunks)
    assert_same_bits(found, call_chain(numpy, executable, rows, start, resident))


@pytest.mark.parametrize("build", FORMS.values(), ids=FORMS.keys())
@given(seed=SEEDS)
def test_updates_in_place_give_the_bits_of_calls(build: Form, seed: int, numpy: Subject) -> None:
    function = function_of(build, "float32", 2, 3, 4)
    rows = [normal(seed + step, function.inputs) for step in range(5)]
    start = normal(seed + 9, function.state)
    executable = check(numpy, function, rows[0], start).executable
    chain = call_chain(numpy, executable, rows, start, {})
    for chunks in ([5], [2, 3], [1] * 5):
        assert_same_bits(run_cut(numpy, executable, rows, start, {}, chunks), chain)
