"""A planted fault is found where it is: the node, the hint, the other verdicts, a script that shows it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd import graph as G
from isograd.backend import Backend
from isograd.graph.reference import REFERENCE
from isograd.testing import ReferenceBackend
from isograd_conformance.bounds import DisagreementError, Judgement
from isograd_conformance.bounds.tracking import Tracked
from isograd_conformance.checks import check
from isograd_conformance.diagnosis import as_script, diagnose, first_parting, hint
from isograd_conformance.replay import packed
from isograd_conformance.strategies.arrays import SEEDS, arguments
from isograd_conformance.strategies.functions import functions
from isograd_conformance.subject import Subject

Array = npt.NDArray[Any]
Make = Callable[..., Backend]
SubjectOf = Callable[[Backend], Subject]


def layer() -> tuple[G.Function, dict[str, Array]]:
    """tanh(x @ w + b), summed, and a step of w along the gradient."""
    x, w, b = G.variable("x", (2, 3)), G.variable("w", (3, 4)), G.variable("b", (4,))
    cost = G.tanh(x @ w + b).sum()
    function = G.Function({"x": x, "b": b}, {"cost": cost}, {"w": w}, {"w": w - 0.1 * G.grad(cost, w)})
    rng = np.random.default_rng(1)
    values = {t.name: rng.normal(size=t.shape).astype("float32") for t in (x, w, b)}
    return function, values


def disagreement(subject: Subject, function: G.Function, values: dict[str, Array]) -> DisagreementError:
    inputs = {name: values[name] for name in function.inputs}
    with pytest.raises(DisagreementError) as caught:
        check(subject, function, inputs, {name: values[name] for name in function.state})
    return caught.value


FAULTS: dict[str, tuple[str, Callable[..., Array], str]] = {
    "doubled": ("matmul", lambda a, b: 2 * REFERENCE["matmul"](a, b), "exactly 2 times"),
    "negated": ("tanh", lambda x: -np.tanh(x), "exactly -1 times"),
    "mean for sum": ("reduce_sum", lambda x, *, axes: np.mean(x, axis=axes), "as a mean for a sum"),
    "the sign of a difference": ("sub", lambda a, b: b - a, "exactly -1 times"),
    "in half precision": (
        "matmul",
        lambda a, b: (a.astype("float16") @ b.astype("float16")).astype(a.dtype),
        "those of a computation in float16",
    ),
    "zeros": ("mul", lambda a, b: np.zeros_like(a), "zero instead of a number"),
    "NaN": ("tanh", lambda x: np.full_like(x, np.nan), "NaN instead of a number"),
    "a constant too much": ("tanh", lambda x: np.tanh(x) + x.dtype.type(0.5), "off by 0.5 everywhere"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_wrong_node_and_a_hint_are_reported(
    name: str, table_backend: Make, subject_of: SubjectOf
) -> None:
    primitive, evaluator, expected = FAULTS[name]
    subject = subject_of(table_backend(**{primitive: evaluator}))
    found = diagnose(disagreement(subject, *layer()))
    assert found.primitive == primitive
    assert found.node.startswith(f"{primitive}(")
    assert expected in found.hint
    assert found.verdicts is not None
    assert "agrees" in found.verdicts["reference in the working precision"]
    assert all(part in str(found) for part in (found.node, found.hint, found.script))


def test_the_application_that_is_shown_is_the_smallest(table_backend: Make, subject_of: SubjectOf) -> None:
    def wrong(x: Array, w: Array, **attributes: Any) -> Array:
        return 2 * REFERENCE["conv2d"](x, w, **attributes)

    x, w = G.variable("x", (3, 4, 6, 5)), G.variable("w", (6, 2, 3, 2))
    function = G.Function({"x": x, "w": w}, {"y": G.conv2d(x, w, stride=2, groups=2)})
    values = {t.name: np.random.default_rng(0).normal(size=t.shape).astype("float32") for t in (x, w)}
    found = diagnose(disagreement(subject_of(table_backend(conv2d=wrong)), function, values))
    assert found.node.startswith("conv2d(x float32[1, 1, 1, 1], y float32[1, 1, 1, 1], stride=(1, 1)")


def test_a_fault_that_needs_its_surroundings_is_found_in_the_smallest_part_of_the_graph() -> None:
    class Fusing(ReferenceBackend):
        """Takes tanh(a + b) for tanh(a): wrong only where both nodes are there."""

        def compile(self, function: G.Function, device: str) -> Any:
            outputs = {name: self._fused(t) for name, t in function.outputs.items()}
            return super().compile(G.Function(function.inputs, outputs, function.state), device)

        def _fused(self, t: G.Tensor) -> G.Tensor:
            below = t.inputs[0] if t.primitive == "tanh" else t
            return G.tanh(below.inputs[0]) if below.primitive == "add" and below is not t else t

    x, y = G.variable("x", (3,)), G.variable("y", (3,))
    function = G.Function({"x": x, "y": y}, {"z": G.tanh(x + y)})
    values = {"x": np.float32([1, 2, 3]), "y": np.float32([1, 1, 1])}
    parting = first_parting(Subject("fusing", Fusing(), "cpu"), function, values)
    assert parting is not None
    assert not parting.alone
    assert parting.node.primitive == "tanh"


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    function, values = layer()
    assert first_parting(Subject("reference", ReferenceBackend(), "cpu"), function, values) is None


@given(
    shape=st.lists(st.integers(2, 4), min_size=2, max_size=3),
    seed=SEEDS,
    change=st.sampled_from(["transposed", "reversed", "shifted"]),
)
def test_rearranged_numbers_are_recognised(shape: list[int], seed: int, change: str) -> None:
    value = np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(float)
    square = change == "transposed" and shape[-1] == shape[-2]
    arranged = np.swapaxes(value, -1, -2) if square else np.flip(value, -1)
    arranged = np.roll(value, 1, -1) if change == "shifted" else arranged
    tensor = G.variable("x", shape, "float32")
    judgement = Judgement(
        "x", tensor, arranged.astype("float32"), Tracked(value, np.zeros(value.shape)), "wrong", 1.0, 0.0
    )
    assert hint(judgement)


@given(function=functions(("float32", "float64")), seed=SEEDS)
def test_a_script_computes_what_it_was_made_of(function: G.Function, seed: int) -> None:
    """The same graph and the same bits: run in this process, with the call at its end caught."""
    inputs, state = arguments(function, seed)
    text = as_script(function, inputs, state, "reference", "For a test.")
    found: dict[str, Any] = {}
    lines = text.replace("import replay", "import replay as _replay").replace(
        "import packed, replay", "import packed"
    )
    body = lines.rpartition("sys.exit(")[0]
    exec(compile(body, "script", "exec"), found)
    assert found["function"].digest == function.digest
    for name, array in {**inputs, **state}.items():
        made = {**found["inputs"], **found["state"]}[name]
        assert (made.shape, made.dtype) == (array.shape, array.dtype)
        assert made.tobytes() == array.tobytes()


def test_a_script_ends_with_1_where_the_backend_differs_and_0_where_it_agrees(tmp_path: Path) -> None:
    function, values = layer()
    state = {"w": values.pop("w")}
    text = as_script(function, values, state, "planted", "For a test.")
    register = (
        "import numpy as np\nfrom isograd import plugins\nfrom isograd.testing import ReferenceBackend\n"
        "class Planted(ReferenceBackend):\n"
        "    name = 'planted'\n"
        "    def to_host(self, array):\n"
        "        return np.asarray(array * np.asarray({factor}, array.dtype))\n"
        "plugins.register_backend('planted', Planted(), dtypes=('float32',))\n"
    )
    for factor, code in ((1, 0), (2, 1)):
        path = tmp_path / f"script{factor}.py"
        path.write_text(register.format(factor=factor) + text)
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert ("agrees" if code == 0 else "elements are wrong") in done.stdout


def test_packed_arrays_are_as_long_as_they_say() -> None:
    text = as_script(
        *(lambda x: (G.Function({"x": x}, {"y": x * 2.0}), {"x": np.arange(100, dtype="float32")}, {}))(
            G.variable("x", (100,))
        ),
        "reference",
        "For a test.",
    )
    data = text.partition("packed('")[2].partition("'")[0]
    np.testing.assert_array_equal(packed(data, (100,), "float32"), np.arange(100, dtype="float32"))
    with pytest.raises(ValueError, match="needs 396"):
        packed(data, (99,), "float32")
