"""Importing isograd's plugin system and listing plugins must import nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

LISTING = """
import sys
sys.path.insert(0, {site!r})
from isograd import plugins
assert "acme_heavy" not in sys.modules, "importing isograd.plugins must discover nothing"
descriptor = plugins.backend_descriptors()["heavy"]
assert "heavy" in plugins.dataset_descriptors()
assert "heavy" in plugins.command_descriptors()
assert descriptor.missing() == ("no_such_framework",)
loaded = {{"numpy", "scipy", "matplotlib", "acme_framework"}} & sys.modules.keys()
assert not loaded, f"listing plugins imported {{loaded}}"
"""

PLUGIN = """
from isograd.plugins import BackendDescriptor, CommandDescriptor, DatasetDescriptor, hookimpl

def load():
    import acme_framework

@hookimpl
def isograd_backends():
    return [
        BackendDescriptor(
            "heavy", "A backend", load, dtypes=("float32",), requires=("acme_framework", "no_such_framework")
        )
    ]

@hookimpl
def isograd_datasets():
    return [DatasetDescriptor("heavy", "A data set", load, "CC0-1.0", 10)]

@hookimpl
def isograd_commands():
    return [CommandDescriptor("heavy", "A command", load)]
"""


@pytest.fixture
def search_path() -> str:
    """Where this process found isograd, for a process of its own."""
    spec = find_spec("isograd.plugins")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parents[2])


def run(code: str, search_path: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {search_path!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_listing_installed_plugins_imports_no_framework(tmp_path: Path, search_path: str) -> None:
    info = tmp_path / "acme_heavy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-heavy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[isograd.plugins.v1]\nheavy = acme_heavy\n")
    (tmp_path / "acme_heavy.py").write_text(PLUGIN)
    (tmp_path / "acme_framework.py").write_text("raise AssertionError('imported for a listing')")
    run(LISTING.format(site=str(tmp_path)), search_path)


@pytest.mark.parametrize(
    "module",
    [
        "isograd.plugins",
        "isograd.backend",
        "isograd.backend_choice",
        "isograd.cli.export",
        "isograd.cli.reproduce",
    ],
)
def test_the_plugin_system_the_contract_and_a_command_do_without_numpy(module: str, search_path: str) -> None:
    run(f"import {module}\nassert 'numpy' not in sys.modules", search_path)
