"""Importing isograd, its help and its listings import nothing that a backend needs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

import pytest

from isograd.plugins import backend_descriptors
from isograd_conformance.subject import Subject

pytestmark = pytest.mark.judges("imports")

COMMANDS = {
    "import": "import isograd",
    "help": "run('--help')",
    "backends": "run('backends')",
    "plugins": "run('plugins')",
    "train help": "run('train', '--help')",
}

PROGRAM = """
import sys

def run(*arguments):
    from isograd.cli import main
    sys.argv = ["isograd", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code

{command}
loaded = {frameworks!r} & sys.modules.keys()
assert not loaded, sorted(loaded)
"""


def core_dependencies() -> set[str]:
    """What isograd itself needs, whichever backend is used."""
    requirements = metadata.requires("isograd") or []
    return {re.split(r"[^\w.-]", line)[0] for line in requirements if "extra ==" not in line}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_no_framework_is_imported(command: str, subject: Subject) -> None:
    descriptor = backend_descriptors()[subject.backend.name]
    frameworks = set(descriptor.requires) - core_dependencies()
    if not frameworks:
        pytest.skip("it needs nothing but what isograd itself does")
    code = PROGRAM.format(command=command, frameworks=frameworks)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
