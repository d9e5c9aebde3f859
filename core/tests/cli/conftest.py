"""A tiny problem, a run file for it, and the command line inside this process and outside of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from isograd.cli.app import app

RUN = """
name = "tiny"
summary = "for tests"

[network]
input_shape = [1, 4, 4]
layers = [{ type = "FullyConnected", n_out = 5 }, { type = "Softmax", n_out = 3 }]

[training]
epochs = 2
mini_batch_size = 10
eta = 0.5

[data]
path = "data.npz"
"""

# What a process of its own needs before the command line: this isograd, and a backend.
PROCESS = """
import sys
sys.path.insert(0, {path!r})
from isograd import plugins
from isograd.testing import ReferenceBackend
plugins.register_backend("reference", ReferenceBackend, dtypes=("float32", "float64"), priority=10**6)
from isograd.cli import main
sys.argv[0] = "isograd"
main()
"""

# By these, Typer and rich colour what is no terminal.
COLOURS = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")


@pytest.fixture(autouse=True)
def reference_backend(reference_by_default: None) -> None:
    """Every command has a backend, whatever is installed."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: data.npz (4 x 4 bytes, the class that of the brightest pixel) and run.toml."""
    monkeypatch.chdir(tmp_path)
    for name in ("ISOGRAD_BACKEND", "ISOGRAD_SEED", *COLOURS):
        monkeypatch.delenv(name, raising=False)
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 70)
    images = generator.integers(0, 100, (70, 1, 4, 4), dtype=np.uint8)
    images[np.arange(70), 0, labels] += 150
    parts = {"train": slice(0, 42), "validation": slice(42, 56), "test": slice(56, 70)}
    content: dict[str, Any] = {f"x_{name}": images[part] for name, part in parts.items()}
    content |= {f"y_{name}": labels[part] for name, part in parts.items()}
    np.savez(tmp_path / "data.npz", **content)
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path


@pytest.fixture
def invoke() -> Callable[..., Any]:
    """invoke("train", "run.toml"): the result of the command line, which must end with `code`."""

    def run(*arguments: str, code: int = 0, env: dict[str, str] | None = None) -> Any:
        result = CliRunner().invoke(app, list(arguments), env=env)
        assert result.exit_code == code, (
            f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}"
        )
        return result

    return run


@pytest.fixture
def program() -> str:
    """The command line as Python code."""
    spec = find_spec("isograd.cli")
    assert spec is not None
    assert spec.origin is not None
    return PROCESS.format(path=str(Path(spec.origin).parents[2]))


@pytest.fixture
def start(program: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """start("train", "run.toml"): the command line as a process of its own, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, code: str = program, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=60)
