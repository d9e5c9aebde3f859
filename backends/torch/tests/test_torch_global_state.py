"""Importing and using the backend changes nothing of PyTorch that belongs to the whole process or thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

STATE = """
import torch

def state():
    return {
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "random numbers": torch.get_rng_state().tolist(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "products": torch.get_float32_matmul_precision(),
        "cuda": torch.backends.cuda.matmul.fp32_precision,
        "cudnn": (torch.backends.cudnn.fp32_precision, torch.backends.cudnn.conv.fp32_precision),
        "cudnn search": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "mkldnn": (torch.backends.mkldnn.enabled, torch.backends.mkldnn.fp32_precision),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "tensors print": torch._tensor_str.PRINT_OPTS.precision,
    }
"""

USE = """
import numpy as np
from isograd import Callback, ConvPool, Dataset, FullyConnected, Network, Softmax

before = state()
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
                callbacks=[Watch()], backend="torch")
        net.predict(data, backend="torch")
assert len(during) == 12, len(during)
for seen in [*during, state()]:
    changed = [name for name in before if before[name] != seen[name]]
    assert not changed, changed
"""


@pytest.mark.parametrize(
    "prepare", ["", "torch.set_grad_enabled(False)", "torch.set_default_dtype(torch.float64)"]
)
def test_training_and_predicting_change_no_switch(prepare: str) -> None:
    code = "\n".join([STATE, prepare, USE])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr
