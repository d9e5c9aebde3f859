"""The whole suite on backends that are right: reference backends, one of them with a "native" gradient."""

from __future__ import annotations

import pytest


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
