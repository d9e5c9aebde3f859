"""What a package says that it offers is there."""

from __future__ import annotations

import importlib

import pytest

PACKAGES = [
    "isograd",
    "isograd.costs",
    "isograd.data",
    "isograd.embedding",
    "isograd.evaluation",
    "isograd.figures",
    "isograd.graph",
    "isograd.layers",
    "isograd.network3",
    "isograd.onnx",
    "isograd.plugins",
    "isograd.reproduction",
    "isograd.runs",
    "isograd.symbolic",
    "isograd.training",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_listed_once(package: str) -> None:
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_an_unknown_name_is_an_attribute_error_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = importlib.import_module("isograd").nothing_like_it
