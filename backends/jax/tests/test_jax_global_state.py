"""Importing and using the backend changes nothing of JAX that belongs to the whole process or thread."""

from __future__ import annotations

import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isograd import graph as G
from isograd_jax.backend import JaxBackend

USE = """
import numpy as np
from isograd import Callback, ConvPool, Dataset, FullyConnected, Network, Softmax

during = []

class Watch(Callback):
    every = 1
    def on_chunk(self, progress):
        during.append(state())

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (12, 1, 12, 12)).astype(np.uint8)
data = Dataset(images, rng.integers(0, 3, 12), scale=1 / 256)
layers = [ConvPool(2, window=3, activation="relu"), FullyConnected(4, p_dropout=0.5), Softmax(3)]
for dtype in ("float32", "float64"):
    for gradient in ("symbolic", "native"):
        net = Network(layers, (1, 12, 12), dtype=dtype)
        net.SGD(data, 1, 5, 0.1, data, lmbda=0.1, momentum=0.5, gradient=gradient,
                callbacks=[Watch()], backend="jax")
        net.predict(data, backend="jax")
        assert {a.dtype.name for a in net.parameters.values()} == {dtype}
assert len(during) == 12, len(during)

import jax
import jax.numpy as jnp
fresh = {name: value for name, value in before.items() if name in jax.config.values}
for seen in [*during, state()]:
    changed = [name for name in fresh if fresh[name] != seen[name]]
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
def test_training_and_predicting_change_no_setting(wanted: bool) -> None:
    prepare = f"jax.config.update('jax_enable_x64', {wanted})\nbefore = state()\n"
    expected = f"expected = {'float64' if wanted else 'float32'!r}\n"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", STATE + prepare + expected + USE],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr


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
