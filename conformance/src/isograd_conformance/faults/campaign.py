"""The campaign: the suite is run on each fault until its first failure, and on each variant to its end.

Everything here runs in the process that is tested; `workers` starts one and watches it.
"""

from __future__ import annotations

import io
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest

from isograd import choose_backend, plugins
from isograd.backend import Backend
from isograd.compilation import compiled_functions
from isograd.errors import IsogradError
from isograd_conformance.faults.catalogue import FAULTS, VARIANTS
from isograd_conformance.faults.fault import Fault, Variant, applied, shows
from isograd_conformance.faults.wrapping import NAME

# killed: a test failed. survived: none did. crashed: the planted code itself raised an error, which proves
# nothing. no witness: it does not differ from the backend. alarm: a test failed on a variant. right: none
# did. timeout: it did not come to an end. unsupported: the backend lacks a dtype.
Verdict = Literal["killed", "survived", "crashed", "no witness", "alarm", "right", "timeout", "unsupported"]
GOOD: frozenset[Verdict] = frozenset({"killed", "right", "unsupported"})


@dataclass(frozen=True)
class Task:
    """A fault, or a variant with the seed of the examples; without one they are the quick profile's own."""

    name: str
    seed: int | None = None

    @property
    def planted(self) -> Fault | Variant:
        return FAULTS[self.name] if self.name in FAULTS else VARIANTS[self.name]

    @property
    def key(self) -> str:
        """Under which its outcome is kept."""
        return self.name if self.seed is None else f"{self.name} / seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes
    ----------
    key, kind : str
    verdict : str
        One of `Verdict`.
    judged : str
        What the test that failed judges: its marker `judges`, or its module.
    test : str
        The test that failed first.
    examples : int
        How many examples that test drew up to the failure; 1 where it draws none.
    tests : int
        How many tests ran.
    seconds : float
    message : str
        The first line of the failure.
    """

    key: str
    kind: str
    verdict: Verdict
    judged: str = ""
    test: str = ""
    examples: int = 0
    tests: int = 0
    seconds: float = 0.0
    message: str = ""


def run(task: Task, specification: str) -> Outcome:
    """Carry out one task on a backend "NAME[:DEVICE]"."""
    backend, _ = choose_backend(specification)
    planted, started = task.planted, time.perf_counter()
    if not planted.dtypes <= backend.capabilities.dtypes:
        return Outcome(task.key, planted.kind, "unsupported")
    if not shows(planted, backend):
        return Outcome(task.key, planted.kind, "no witness")
    with applied(planted, backend) as changed:
        recorder = run_suite(changed, task.seed, planted.likely if isinstance(planted, Fault) else ())
    return Outcome(
        task.key,
        planted.kind,
        _verdict(planted, recorder),
        recorder.judged,
        recorder.test,
        recorder.examples,
        recorder.tests,
        time.perf_counter() - started,
        recorder.message,
    )


def _verdict(planted: Fault | Variant, recorder: Recorder) -> Verdict:
    if recorder.error is None:
        return "survived" if isinstance(planted, Fault) else "right"
    if isinstance(planted, Variant):
        return "alarm"
    return "crashed" if all(map(_is_crash, leaves(recorder.error))) else "killed"


def leaves(error: BaseException) -> list[BaseException]:
    """The errors of a group, or the error."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in leaves(part)]
    return [error]


def _is_crash(error: BaseException) -> bool:
    """Whether the planted code raised an error that it does not raise on purpose."""
    if isinstance(error, IsogradError) or isinstance(error.__cause__, IsogradError):
        return False
    package, own = Path(__file__).parents[1], None
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        own = path if package in path.parents else own
    return own is not None and own.parent == Path(__file__).with_name("catalogue")


@contextmanager
def registered(backend: Backend) -> Iterator[None]:
    """The backend known by its name, which is `NAME`."""
    plugins.register_backend(NAME, backend)
    try:
        yield
    finally:
        plugins.unregister(NAME)
        compiled_functions.clear()


def run_suite(backend: Backend, seed: int | None, likely: Sequence[str]) -> Recorder:
    """The suite in its quick profile up to the first failure, in this process and without a word."""
    recorder = Recorder(likely)
    silent = io.StringIO()
    with (
        TemporaryDirectory() as folder,
        registered(backend),
        redirect_stdout(silent),
        redirect_stderr(silent),
    ):
        settings = Path(folder, "pytest.ini")
        settings.write_text("[pytest]\n")
        options = ["--conformance-no-shrink", *([] if seed is None else [f"--conformance-seed={seed}"])]
        status = pytest.main(
            [
                *("--pyargs", "isograd_conformance", "--backend", NAME, *options, "-x", "-c", str(settings)),
                # Nobody reads a report, and to look for the place of a fault takes time.
                *("-p", "no:isograd-conformance-recorder"),
                *("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
            ],
            plugins=[recorder],
        )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not recorder.tests:
        raise RuntimeError(f"the suite ended with {status!r}:\n{silent.getvalue()[-3000:]}")
    return recorder


class Recorder:
    """A plugin of pytest: puts likely tests first, notes what fails first and after how many examples."""

    def __init__(self, likely: Sequence[str]) -> None:
        self._likely = likely
        self.error: BaseException | None = None
        self.test = self.judged = self.message = ""
        self.examples = self.tests = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=self._place)

    def _place(self, item: pytest.Item) -> int:
        places = [i for i, part in enumerate(self._likely) if part in item.nodeid]
        return places[0] if places else len(self._likely)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self.tests += 1
        handle = getattr(getattr(item, "obj", None), "hypothesis", None)
        if handle is None:
            self.examples = 1
            return (yield)
        counter = _Examples()
        test = handle.inner_test
        handle.inner_test = counter.counted(test)
        try:
            return (yield)
        finally:
            handle.inner_test = test
            self.examples = counter.first_failure or counter.count

    def pytest_exception_interact(
        self, node: Any, call: pytest.CallInfo[Any], report: pytest.TestReport
    ) -> None:
        if self.error is not None or call.excinfo is None:
            return
        self.error = call.excinfo.value
        self.test = node.nodeid.rpartition("/")[2]
        marker = node.get_closest_marker("judges")
        self.judged = (
            marker.args[0] if marker else node.nodeid.partition("::")[0].rpartition("/test_")[2][:-3]
        )
        shown = leaves(self.error)[0]
        self.message = f"{type(shown).__name__}: {shown}".partition("\n")[0][:200]


class _Examples:
    """Counts the examples of a test, and at which of them it first failed."""

    def __init__(self) -> None:
        self.count = self.first_failure = 0

    def counted(self, test: Any) -> Any:
        """The test, counting."""

        @wraps(test)
        def counting(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            try:
                return test(*arguments, **keywords)
            except Exception as error:
                # Hypothesis ends an example with an exception of its own where its draw fits nothing.
                if not type(error).__module__.startswith("hypothesis."):
                    self.first_failure = self.first_failure or self.count
                raise

        return counting
