"""The examples of the symbolic interface: short, the cost falls, and logistic regression is right."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from isograd import plugins
from isograd.plugins import BackendDescriptor
from isograd.testing import ReferenceBackend

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "symbolic"
SIZES = {
    "autoencoder": {"examples": 12, "side": 3, "hidden": 4, "steps": 30},
    "custom_layer": {"examples": 20, "units": 3, "steps": 30},
    "logistic_regression": {"examples": 20, "features": 3, "steps": 400},
}


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """main(name): what an example runs, on the reference backend and in a small size."""
    descriptor = BackendDescriptor(
        "reference", "for tests", ReferenceBackend, dtypes=("float32",), priority=10**6
    )
    monkeypatch.delenv("ISOGRAD_BACKEND", raising=False)
    with plugins.registered(descriptor):
        yield lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**SIZES[name])


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SIZES.keys()


@pytest.mark.parametrize("name", SIZES)
def test_an_example_is_short_and_its_cost_falls(
    name: str, main: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main(name)
    costs = [float(cost) for cost in re.findall(r"cost (\S+?),?\s", capsys.readouterr().out)]
    assert len(costs) >= 5
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(statements) - len(imports) <= 30


def test_logistic_regression_goes_to_the_minimum_that_scipy_finds(main: Any) -> None:
    """The cost f is strongly convex with m = 0.02, so f - min f <= |f'|^2 / (2 m) at any point.

    Boyd and Vandenberghe, "Convex optimization", 2004, equation 9.9.
    """
    state = main("logistic_regression").state
    rng = np.random.default_rng(0)
    x = np.c_[rng.normal(size=(20, 3)).astype("float32"), np.ones(20)]
    y = rng.integers(0, 2, (20, 1))[:, 0]

    def cost(v: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ v
        value = np.mean(np.logaddexp(0, z) - y * z) + 0.01 * v @ v
        return float(value), x.T @ (1 / (1 + np.exp(-z)) - y) / len(y) + 0.02 * v

    found = np.append(state["w"], state["b"]).astype("float64")
    best = minimize(cost, np.zeros(4), jac=True).x
    (ours, our_slope), (least, slope) = cost(found), cost(best)
    assert -(slope @ slope) / 0.04 <= ours - least <= our_slope @ our_slope / 0.04
    assert ours - least < (cost(np.zeros(4))[0] - least) / 100
