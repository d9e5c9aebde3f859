"""The whole suite on backends that are right: reference backends, one of them with a "native" gradient."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from isograd import plugins
from isograd.graph import PRIMITIVES
from isograd.plugins import BackendDescriptor
from isograd.testing import ReferenceBackend
from isograd_conformance.strategies.primitives import CASES

# More than vacuous in this share, a run would prove too little.
VACUOUS_LIMIT = 0.02


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    suite = ("-p", "no:cacheprovider", "-W", "error", "--pyargs", "isograd_conformance")
    result = pytester.runpytest_inprocess(*suite, *arguments)
    assert result.ret == 0, result.parseoutcomes()
    return result


def test_a_right_backend_conforms_in_every_primitive_and_dtype_and_little_of_it_is_vacuous(
    unregistered: pytest.Pytester,
) -> None:
    page, data = unregistered.path / "report.html", unregistered.path / "report.json"
    files = ("--conformance-json", str(data), "--conformance-html", str(page))
    result = run(unregistered, "--backend", "native", *files)
    result.stdout.fnmatch_lines(["native: a mark each for*", "tanh *", "*vacuous*", "native: conforms"])
    report = json.loads(data.read_text())
    assert report["conforms"] is True
    assert report["elements"] > 10_000
    assert report["vacuous"] < VACUOUS_LIMIT
    passed = {(r["row"], r["dtype"]) for r in report["records"] if r["status"] == "pass"}
    assert {(name, dtype) for name, entry in CASES.items() for dtype in entry.dtypes} <= passed
    assert {"isograd", "isograd-conformance", "specification", "numpy"} <= report["versions"].keys()
    assert report["backends"]["native"]["native_gradient"] is True
    text = page.read_text()
    assert all(f"<code>{name}</code>" in text for name in PRIMITIVES)
    assert not [word for word in ("<script", "http://", "https://", "src=") if word in text]


def test_two_right_backends_pass_with_each_other(unregistered: pytest.Pytester) -> None:
    backends = ("--backend", "reference", "--backend", "native")
    assert run(unregistered, *backends, "-k", "isolation or across").parseoutcomes()["passed"] > 10


@pytest.mark.parametrize("dtypes", ["float64", "float32 int32", "float32 int32 bool"])
def test_a_right_backend_of_few_dtypes_passes(dtypes: str, unregistered: pytest.Pytester) -> None:
    """What it does not declare it refuses, and no test asks for; nor does any break for the lack of it."""

    class Few(ReferenceBackend):
        name = "few"
        capabilities = replace(ReferenceBackend.capabilities, dtypes=frozenset(dtypes.split()))

    with plugins.registered(BackendDescriptor("few", "few dtypes", Few, dtypes=tuple(dtypes.split()))):
        few = ("--backend", "few", "--conformance-scale", "0.2")
        assert run(unregistered, *few).parseoutcomes()["passed"] > 200
