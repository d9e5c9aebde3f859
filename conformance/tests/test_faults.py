"""The campaign of planted faults: witnesses show them, the suite kills them, results are what they say."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from isograd import FullyConnected, Network, Softmax, plugins
from isograd.errors import FileFormatError
from isograd.testing import ReferenceBackend
from isograd_conformance.faults import Fault, Wrapped
from isograd_conformance.faults.__main__ import chosen, main, parser
from isograd_conformance.faults.campaign import GOOD, Outcome, Task, run
from isograd_conformance.faults.catalogue import ALL, CONTROL, FAULTS, VARIANTS
from isograd_conformance.faults.fault import shows
from isograd_conformance.faults.patching import Patch, patched
from isograd_conformance.faults.report import Results, print_tables
from isograd_conformance.faults.workers import carried_out
from isograd_conformance.faults.wrapping import wrapped_by

BACKEND = ReferenceBackend()
EACH = pytest.mark.parametrize("name", [*FAULTS, *VARIANTS])


@EACH
def test_a_witness_tells_what_is_planted_from_what_is_right_and_two_right_ones_not_apart(name: str) -> None:
    planted = Task(name).planted
    assert shows(planted, BACKEND)
    assert planted.witness(BACKEND) == planted.witness(ReferenceBackend())


def test_no_two_have_one_name() -> None:
    assert len(ALL) == len(FAULTS)
    assert not FAULTS.keys() & VARIANTS.keys()


def parameters() -> dict[str, bytes]:
    """What a network begins with."""
    net = Network([FullyConnected(3), Softmax(2)], (4,), seed=1)
    return {path: array.tobytes() for path, array in net.parameters.items()}


def test_a_patch_of_core_is_undone_after_an_error_too() -> None:
    before = parameters()
    apply = patched(Patch("isograd.layers.initialisers:ScaledNormal.draw", "self.gain", "4 * self.gain"))
    with suppress(ArithmeticError), apply(BACKEND):
        assert parameters() != before
        raise ArithmeticError
    assert parameters() == before


@pytest.mark.parametrize("old", ["no such words", "n"])
def test_a_patch_whose_words_are_not_there_once_is_an_error(old: str) -> None:
    with pytest.raises(ValueError, match="expected once"), Patch("isograd.random:uniform", old, "").applied():
        pass


@pytest.fixture
def reference() -> Iterator[str]:
    yield plugins.register_backend("reference", BACKEND)
    plugins.unregister("reference")


# One of each way to plant a fault.
KILLED = [
    "kernel flipped",
    "duplicate indices lost in scatter_add",
    "outputs in memory that the next call uses again",
    "updates are applied one after another",
    "rows of the next step",
    "compiled functions kept without their constants",
    "strides ignored",
    "indices out of range clipped",
    "a call that is refused has changed the state",
    "native: the gradient of a shared value overwritten",
    "masks counted from the chunk's first step",
]


@pytest.mark.parametrize("name", KILLED)
def test_the_suite_kills(name: str, reference: str) -> None:
    outcome = run(Task(name), reference)
    assert outcome.verdict == "killed", outcome
    assert outcome.test.startswith("test_")
    assert outcome.judged
    assert outcome.examples >= 1
    assert outcome.tests >= 1


def planted(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setitem(FAULTS, fault.name, fault)
    return Task(fault.name)


def test_a_fault_that_changes_nothing_has_no_witness(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Fault("nothing", "test", wrapped_by(Wrapped), lambda backend: backend.version)
    assert run(planted(nothing, monkeypatch), reference).verdict == "no witness"


def test_a_fault_of_dtypes_that_are_not_declared_is_not_run(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(FAULTS["kernel flipped"], name="other", dtypes=frozenset({"float128"}))
    assert run(planted(other, monkeypatch), reference).verdict == "unsupported"


def outcomes() -> st.SearchStrategy[Outcome]:
    verdicts = st.sampled_from(["killed", "survived", "crashed", "alarm", "right", "timeout", "unsupported"])
    words = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8)
    kinds = st.sampled_from(["primitive", "variant"])
    return st.builds(Outcome, words, kinds, verdicts, words, words, st.integers(0, 9), st.integers(0, 9))


@given(st.lists(outcomes(), unique_by=lambda o: o.key))
def test_results_are_read_back_as_they_were_written(found: list[Outcome]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "results.json")
        results = Results(path, "reference", "1")
        for outcome in found:
            results.add(outcome)
        assert list(Results(path, "reference", "1").outcomes.values()) == found
        assert not found or [p.name for p in path.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "no file of results"), ("{", "no file of results"), ("{}", "no file of results")],
)
def test_a_file_of_something_else_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        Results(path, "reference", "1")


def test_results_of_another_backend_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results(path, "reference", "1").add(Outcome("x", "primitive", "killed"))
    with pytest.raises(FileFormatError, match="expected"):
        Results(path, "reference", "2")


@given(st.lists(outcomes(), unique_by=lambda o: o.key))
def test_the_tables_count_every_fault_and_name_all_that_is_not_good(found: list[Outcome]) -> None:
    console = Console(record=True, width=300, file=io.StringIO())
    print_tables(found, console)
    text = console.export_text()
    faults = [o for o in found if o.kind == "primitive" and o.verdict != "unsupported"]
    if faults:
        (row,) = [line for line in text.splitlines() if line.split("│")[1:2] == [" all       "]]
        cells = [cell.strip() for cell in row.split("│")]
        assert cells[2:4] == [str(len(faults)), str(sum(o.verdict == "killed" for o in faults))]
    for outcome in found:
        assert outcome.verdict in GOOD or f"{outcome.verdict}: {outcome.key}" in text


def test_a_campaign_goes_on_from_its_file_and_fails_with_a_survivor(
    installed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    arguments = ["--backend", installed, "--only", "masks counted", "--resume", str(path)]
    Results(path, installed, BACKEND.version).add(Outcome(CONTROL, "variant", "right"))
    assert main(arguments) == 0
    assert "1/1 killed" in capsys.readouterr().out
    document = json.loads(path.read_text())
    document["outcomes"][1]["verdict"] = "survived"
    path.write_text(json.dumps(document))
    assert main(arguments) == 1
    assert "survived: masks counted" in capsys.readouterr().out


def test_a_campaign_ends_where_the_suite_fails_without_a_fault(
    installed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outcomes(tasks: list[Task], specification: str) -> Iterator[Outcome]:
        yield Outcome(CONTROL, "variant", "alarm")
        raise AssertionError("a fault was tried all the same")

    monkeypatch.setattr("isograd_conformance.faults.__main__.carried_out", outcomes)
    assert main(["--backend", installed]) == 1
    assert "without a fault" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["--only", "no such name"], ["--seeds", "x"], ["--faults-only", "--variants-only"], ["--jobs", "0"]],
)
def test_a_campaign_of_nothing_is_an_error_of_use(arguments: list[str], reference: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--backend", reference, *arguments])
    assert ended.value.code == 2


def test_ten_tenths_are_everything() -> None:
    parts = [
        chosen(parser().parse_args(["--backend", "x", "--tenth", str(n), "--seeds", "0-1"]))
        for n in range(10)
    ]
    whole = chosen(parser().parse_args(["--backend", "x", "--seeds", "0-1"]))
    assert {task.key for part in parts for task in part} == {task.key for task in whole}
    assert sum(len(part) - 1 for part in parts) == len(whole) - 1  # the control is in each
    assert all(part[0] == Task(CONTROL) for part in parts)


def test_a_task_that_hangs_is_given_up_and_the_next_one_runs(installed: str) -> None:
    tasks = [Task("kernel flipped"), Task("concat in reverse")]
    assert [o.verdict for o in carried_out(tasks, installed, seconds=0.001)] == ["timeout", "timeout"]


def test_tasks_side_by_side_give_each_its_own_outcome(installed: str) -> None:
    tasks = [
        Task("kernel flipped"),
        Task("rows and columns of the kernel exchanged"),
        Task("concat in reverse"),
    ]
    found = {o.key: o.verdict for o in carried_out(tasks, installed, jobs=2)}
    assert found == dict.fromkeys([task.key for task in tasks], "killed")


def test_what_goes_wrong_in_the_campaign_itself_is_told(installed: str) -> None:
    with pytest.raises(RuntimeError, match=r"kernel flipped: (.|\n)*nobody"):
        list(carried_out([Task("kernel flipped")], "nobody"))


PLUGIN = """
from isograd.plugins import BackendDescriptor
from isograd.testing import ReferenceBackend

descriptor = BackendDescriptor("reference", "for tests", ReferenceBackend, dtypes=("float32",))
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The reference backend as a plugin that another process finds, too."""
    site = tmp_path / "site"
    info = site / "reference_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reference-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[isograd.backends.v1]\nreference = reference_plugin:descriptor\n")
    (site / "reference_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    plugins.refresh()
    yield "reference"
    monkeypatch.undo()
    sys.modules.pop("reference_plugin", None)
    plugins.refresh()
