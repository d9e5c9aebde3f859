"""The whole suite on backends that are right: two reference backends, one with a "native" gradient."""

from __future__ import annotations

import pytest


def test_right_backends_pass_by_themselves_and_with_each_other(unregistered: pytest.Pytester) -> None:
    result = unregistered.runpytest_inprocess(
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--pyargs",
        "isograd_conformance",
        "--backend",
        "reference",
        "--backend",
        "native",
    )
    outcomes = result.parseoutcomes()
    assert result.ret == 0, outcomes
    assert outcomes["passed"] > 500
