"""Importing and using the backend changes nothing of JAX that belongs to the whole process or thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isograd import graph as G
from isograd_jax.backend import JaxBackend

USE = """
from isograd_conformance.usage import observe
import jax.numpy as jnp

for seen in observe("jax", state):
    changed = [name for name in before if before[name] != seen[name]]
    assert not changed, changed
assert jnp.ones(3).dtype == expected, jnp.ones(3).dtype
"""

# The values of all of JAX's settings, read before isograd has been imported.
STATE = """
import jax
import os

def state():
    return {**jax.config.values, "environment": dict(os.environ)}
"""


@pytest.mark.parametrize("wanted", [False, True])
def test_training_and_predicting_change_no_setting(wanted: bool, new_process: Callable[[str], str]) -> None:
    prepare = f"jax.config.update('jax_enable_x64', {wanted})\nbefore = state()\n"
    expected = f"expected = {'float64' if wanted else 'float32'!r}\n"
    new_process(STATE + prepare + expected + USE)


def test_double_precision_is_double_in_every_thread_and_leaks_into_none() -> None:
    backend = JaxBackend()
    x = G.variable("x", (), "float64")
    compiled = backend.compile(G.Function({"x": x}, {"y": x / 3.0}), "cpu")
    found: list[tuple[float, str]] = []

    def run() -> None:
        given = backend.to_device(np.asarray(1.0), "cpu")
        y = backend.to_host(compiled({"x": given}, {})[0]["y"])
        found.append((float(y), jnp.ones(1).dtype.name))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run()
    assert found == [(1.0 / 3.0, "float32")] * 4
    assert jax.config.jax_enable_x64 is False
