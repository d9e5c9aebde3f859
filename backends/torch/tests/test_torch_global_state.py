"""Importing and using the backend changes nothing of PyTorch that belongs to the whole process or thread."""

from __future__ import annotations

from collections.abc import Callable

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
from isograd_conformance.usage import observe

before = state()
for seen in observe("torch", state):
    changed = [name for name in before if before[name] != seen[name]]
    assert not changed, changed
"""


@pytest.mark.parametrize(
    "prepare", ["", "torch.set_grad_enabled(False)", "torch.set_default_dtype(torch.float64)"]
)
def test_training_and_predicting_change_no_switch(prepare: str, new_process: Callable[[str], str]) -> None:
    new_process("\n".join([STATE, prepare, USE]))
