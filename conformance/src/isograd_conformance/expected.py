"""Failures that are known and explained: a TOML file with the tests that a backend does not pass.

    [[expected_failure]]
    test = "test_primitives.py::*[mine-exp-float64]"    # shell-style pattern for the end of a test's name
    reason = "libm's exp is 9 ulp off above 700; reported as libm issue 123"
    example = "exp_above_700.py"                        # beside this file; as failures print it

It is strict: an entry that matches no test is refused, and a test that passes although it is expected to
fail is a failure, unless the example still exits with 1: a few drawn examples may miss what one known
example shows.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from isograd.errors import FileAccessError, FileFormatError

_KEYS = ("test", "reason", "example")
_SECONDS = 300


@dataclass(frozen=True)
class ExpectedFailure:
    """One entry of the file.

    Attributes
    ----------
    test : str
    reason : str
    example : Path
    """

    test: str
    reason: str
    example: Path

    def matches(self, node_id: str) -> bool:
        """Whether a test is meant, by the end of its node identifier."""
        pattern = self.test.replace("[", "[[]")  # parameters stand in brackets, which mean a choice elsewhere
        return fnmatchcase(node_id, f"*{pattern}")

    def still_fails(self) -> bool:
        """Run the example in a process of its own: exit code 1 while the failure is there.

        Raises
        ------
        FileFormatError
            If it ends otherwise than with 0 or 1; the message has the end of what it printed.
        """
        done = subprocess.run(
            [sys.executable, str(self.example)], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            raise FileFormatError(
                f"{self.example}: ends with exit code {done.returncode}; expected 1 while the failure is "
                f"there and 0 afterwards: {done.stderr.strip()[-500:]}"
            )
        return done.returncode == 1


def read_expected(path: Path) -> tuple[ExpectedFailure, ...]:
    """The entries of a file.

    Raises
    ------
    FileAccessError
        If it can not be read.
    FileFormatError
        If it is no TOML, or an entry lacks a key, has another, an empty text or an example that is no file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileAccessError(f"{path}: can not be read: {error.strerror or error}") from error
    except ValueError as error:
        raise FileFormatError(f"{path}: no TOML that can be read: {error}") from error
    entries = data.get("expected_failure")
    if set(data) != {"expected_failure"} or not isinstance(entries, list):
        raise FileFormatError(
            f"{path}: has {', '.join(data) or 'nothing'}; expected [[expected_failure]] tables"
        )
    return tuple(_entry(path, number, entry) for number, entry in enumerate(entries))


def _entry(path: Path, number: int, entry: object) -> ExpectedFailure:
    where = f"{path}: expected_failure {number}"
    if not isinstance(entry, dict) or set(entry) != set(_KEYS):
        raise FileFormatError(f"{where} is {entry!r}; expected {', '.join(_KEYS)}")
    for key in _KEYS:
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise FileFormatError(f"{where}: {key} is {entry[key]!r}; expected a text")
    example = path.parent / entry["example"]
    if not example.is_file():
        raise FileFormatError(f"{where}: example is {entry['example']!r}, which is no file beside it")
    return ExpectedFailure(entry["test"], entry["reason"], example)


def unmatched(expected: Iterable[ExpectedFailure], node_ids: Iterable[str]) -> list[ExpectedFailure]:
    """The entries that are of none of the tests."""
    ids = list(node_ids)
    return [entry for entry in expected if not any(entry.matches(node_id) for node_id in ids)]
