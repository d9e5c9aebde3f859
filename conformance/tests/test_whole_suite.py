"""The whole suite on backends that are right: reference backends, one of them with a "native" gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isograd import plugins
from isograd.plugins import BackendDescriptor
from isograd.testing import ReferenceBackend


def run(pytester: pytest.Pytester, *arguments: str) -> dict[str, int]:
    suite = ("-p", "no:cacheprovider", "-W", "error", "--pyargs", "isograd_conformance")
    result = pytester.runpytest_inprocess(*suite, *arguments)
    assert result.ret == 0, result.parseoutcomes()
    return result.parseoutcomes()


def test_a_right_backend_passes(unregistered: pytest.Pytester) -> None:
    assert run(unregistered, "--backend", "native")["passed"] > 300


def test_two_right_backends_pass_with_each_other(unregistered: pytest.Pytester) -> None:
    backends = ("--backend", "reference", "--backend", "native")
    assert run(unregistered, *backends, "-k", "isolation or across")["passed"] > 10


@pytest.mark.parametrize("dtypes", ["float64", "float32 int32", "float32 int32 bool"])
def test_a_right_backend_of_few_dtypes_passes(dtypes: str, unregistered: pytest.Pytester) -> None:
    """What it does not declare it refuses, and no test asks for; nor does any break for the lack of it."""

    class Few(ReferenceBackend):
        name = "few"
        capabilities = replace(ReferenceBackend.capabilities, dtypes=frozenset(dtypes.split()))

    with plugins.registered(BackendDescriptor("few", "few dtypes", Few, dtypes=tuple(dtypes.split()))):
        assert run(unregistered, "--backend", "few")["passed"] > 200
