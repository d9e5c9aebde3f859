"""Discovery: what installed plugins offer, and that a broken one costs nothing but itself."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.plugins import CommandDescriptor, PluginRegistry, PluginReport
from isograd.plugins.known import known

BACKENDS, PLUGINS = "isograd.backends.v1", "isograd.plugins.v1"

DESCRIPTOR = """
from isograd.plugins import BackendDescriptor

def load():
    raise AssertionError("listing must not load a backend")

descriptor = BackendDescriptor({name!r}, "A backend", load, dtypes=("float32",))
"""

HOOKS = """
from dataclasses import dataclass
from isograd.plugins import BackendDescriptor, CommandDescriptor, DatasetDescriptor, hookimpl

def load():
    raise AssertionError("listing must not load anything")

@dataclass(frozen=True)
class Layer:
    size: int

@hookimpl
def isograd_backends():
    return [BackendDescriptor("hooked", "A backend", load, dtypes=("float32",))]

@hookimpl
def isograd_datasets():
    return [DatasetDescriptor("digits", "Digits", load, "CC0-1.0", 10)]

@hookimpl
def isograd_layers():
    return [Layer]

@hookimpl
def isograd_functions():
    return {"cube": lambda x: x * x * x}

@hookimpl
def isograd_commands():
    return [CommandDescriptor("greet", "Say hello", load)]
"""

# Faults by name: the module's source, the entry point's attribute, and what the reported cause must hold.
BROKEN: dict[str, tuple[str, str, str]] = {
    "import error": ("import no_such_module_anywhere", "", "ModuleNotFoundError: No module named"),
    "syntax error": ("def (:", "", "SyntaxError"),
    "exit at import": ("import sys; sys.exit(3)", "", "SystemExit: 3"),
    "panic at import": ("class Panic(BaseException): pass\nraise Panic('lost')", "", "Panic: lost"),
    "unprintable error": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "",
        "Mute: (its message can not be printed)",
    ),
    "missing attribute": ("", ":descriptor", "has no attribute 'descriptor'"),
    "no hooks": ("def isograd_backends(): return []", "", "without hook implementations"),
    "not a plugin": ("answer = 42", ":answer", "is a int without hook implementations"),
    "invalid descriptor": (DESCRIPTOR.format(name="a:b"), ":descriptor", "'a:b'; expected lower-case words"),
    "misspelt hook": (
        HOOKS + "\n@hookimpl\ndef isograd_backend(): return []",
        "",
        "unknown hook 'isograd_backend'",
    ),
    "unknown parameter": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_backends(registry): return []",
        "",
        "'registry'",
    ),
    "hook raises": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_backends(): raise OSError('gone')",
        "",
        "isograd_backends failed: OSError: gone",
    ),
    "hook exits": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_layers(): raise SystemExit",
        "",
        "isograd_layers failed: SystemExit",
    ),
    "returns nothing": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_commands(): pass",
        "",
        "isograd_commands failed: PluginError: it returned None",
    ),
    "returns a number": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_datasets(): return 42",
        "",
        "returned a int; expected a sequence of DatasetDescriptor",
    ),
    "returns a string": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_backends(): return ''",
        "",
        "returned a str; expected a sequence of BackendDescriptor",
    ),
    "returns strangers": (
        DESCRIPTOR.format(name="stranger")
        + "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_backends(): return [descriptor, 42]",
        "",
        "returned a int where a BackendDescriptor was expected",
    ),
    "returns twins": (
        DESCRIPTOR.format(name="twin")
        + "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_backends(): return [descriptor] * 2",
        "",
        "returned 'twin' twice",
    ),
    "layers are no classes": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_layers(): return [42]",
        "",
        "an instance of int where a frozen dataclass was expected",
    ),
    "functions are no mapping": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_functions(): return [abs]",
        "",
        "returned a list; expected a mapping",
    ),
    "function is no callable": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_functions(): return {'f': 1}",
        "",
        "returned a int under 'f'; expected a callable",
    ),
    "function's name is no name": (
        "from isograd.plugins import hookimpl\n@hookimpl\ndef isograd_functions(): return {'F(x)': abs}",
        "",
        "'F(x)'; expected lower-case words",
    ),
}


def install(
    site: Path,
    distribution: str,
    entry_points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
    version: str = "1.2.3",
) -> Path:
    """Write what pip leaves of a distribution: its modules and a dist-info folder."""
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    text = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in entry_points.items()
    )
    (info / "entry_points.txt").write_text(text)
    for name, source in (modules or {}).items():
        (site / f"{name}.py").write_text(source)
    return info


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget_modules(tmp_path)


def forget_modules(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def registry_of(site: Path) -> PluginRegistry:
    return PluginRegistry(path=[str(site)])


def problems(registry: PluginRegistry) -> list[PluginReport]:
    return [report for report in registry.plugin_reports() if report.status != "ok"]


def test_everything_that_hooks_offer_is_found_by_name(site: Path) -> None:
    install(site, "acme-all", {PLUGINS: {"all": "acme_all"}}, {"acme_all": HOOKS})
    registry = registry_of(site)
    assert list(registry.backend_descriptors()) == ["hooked"]
    assert list(registry.dataset_descriptors()) == ["digits"]
    assert registry.load_dataset_plugin("digits").examples == 10
    assert registry.layer_classes() == {"Layer": sys.modules["acme_all"].Layer}
    assert registry.registered_functions()["cube"](3) == 27
    assert list(registry.command_descriptors()) == ["greet"]
    assert registry.plugin_reports() == (
        PluginReport("all", "acme_all", "acme-all", "1.2.3", PLUGINS, status="ok", cause=""),
    )


@pytest.mark.parametrize(
    ("source", "query"),
    [
        (DESCRIPTOR.format(name="bare"), "backend_descriptors"),
        (
            "from isograd.plugins import DatasetDescriptor\n"
            "descriptor = DatasetDescriptor('bare', 'Data', print, 'CC0-1.0', 10)",
            "dataset_descriptors",
        ),
        (
            "from isograd.plugins import CommandDescriptor\n"
            "descriptor = CommandDescriptor('bare', 'A command', print)",
            "command_descriptors",
        ),
        (
            DESCRIPTOR.format(name="bare")
            + "from isograd.plugins import hookimpl\n"
            + "class Plugin:\n    @hookimpl\n    def isograd_backends(self): return [bare]\n"
            + "bare, descriptor = descriptor, Plugin()",
            "backend_descriptors",
        ),
    ],
    ids=["backend descriptor", "data set descriptor", "command descriptor", "object with a hook"],
)
def test_an_entry_point_may_name_a_descriptor_or_an_object(site: Path, source: str, query: str) -> None:
    install(site, "acme-bare", {PLUGINS: {"bare": "acme_bare:descriptor"}}, {"acme_bare": source})
    registry = registry_of(site)
    assert list(getattr(registry, query)()) == ["bare"]
    assert problems(registry) == []


def test_a_descriptor_learns_its_distribution_from_its_entry_point(site: Path) -> None:
    source = {"acme_a": DESCRIPTOR.format(name="mine")}
    install(site, "acme-a", {BACKENDS: {"mine": "acme_a:descriptor"}}, source)
    assert registry_of(site).backend_descriptors()["mine"].distribution == "acme-a"


@given(faults=st.lists(st.sampled_from(sorted(BROKEN)), max_size=5), good_at=st.integers(0, 5))
def test_any_mix_of_broken_plugins_is_reported_and_leaves_the_good_one_working(
    faults: list[str], good_at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        site = Path(folder)
        patch.syspath_prepend(folder)
        expected = {}
        for number, fault in enumerate(faults):
            source, attribute, cause = BROKEN[fault]
            distribution, module = f"acme-{number}-broken", f"acme_{number}_broken"
            install(
                site, distribution, {PLUGINS: {"it": module + attribute}}, {module: source}, f"{number}.1"
            )
            expected[distribution] = (f"{number}.1", cause)
        install(site, f"acme-{good_at}-good", {PLUGINS: {"all": "acme_good"}}, {"acme_good": HOOKS})
        registry = registry_of(site)
        offered = {*registry.backend_descriptors(), *registry.dataset_descriptors()}
        offered |= {*registry.layer_classes(), *registry.registered_functions()}
        offered |= {*registry.command_descriptors()}
        found = problems(registry)
        forget_modules(site)
    assert offered == {"hooked", "digits", "Layer", "cube", "greet"}
    assert [report.distribution for report in found] == sorted(expected)
    for report in found:
        assert report.distribution is not None
        version, cause = expected[report.distribution]
        assert (report.status, report.version) == ("failed", version)
        assert cause in report.cause
        assert "\n" not in str(report)


def test_a_hook_that_raises_leaves_the_other_hooks_of_its_plugin_working(site: Path) -> None:
    source = HOOKS.replace("    return {", "    raise OSError('gone')\n    return {")
    install(site, "acme-half", {PLUGINS: {"half": "acme_half"}}, {"acme_half": source})
    registry = registry_of(site)
    assert registry.registered_functions() == {}
    assert list(registry.backend_descriptors()) == ["hooked"]
    assert [report.cause for report in problems(registry)] == ["isograd_functions failed: OSError: gone"]


@pytest.mark.parametrize(
    "group",
    [
        "isograd.backends.v2",
        "isograd.plugins.v10",
        "isograd.backends.v0",
        "isograd.backends",
        "isograd.plugin.v1",
    ],
)
def test_a_plugin_of_another_contract_is_reported_without_being_imported(site: Path, group: str) -> None:
    source = {"acme_next": DESCRIPTOR.format(name="next")}
    install(site, "acme-next", {group: {"next": "acme_next:descriptor"}}, source, "9.0")
    registry = registry_of(site)
    assert registry.backend_descriptors() == {}
    (report,) = problems(registry)
    assert (report.status, report.distribution, report.version) == ("incompatible", "acme-next", "9.0")
    assert group in report.cause
    assert BACKENDS in report.cause
    assert "acme_next" not in sys.modules


def test_a_name_offered_twice_goes_to_one_and_the_report_names_both_distributions(site: Path) -> None:
    for letter in "ba":
        source = {f"acme_{letter}": DESCRIPTOR.format(name="same")}
        install(site, f"acme-{letter}", {BACKENDS: {"same": f"acme_{letter}:descriptor"}}, source)
    registry = registry_of(site)
    assert registry.backend_descriptors()["same"].distribution == "acme-a"
    (report,) = problems(registry)
    assert (report.status, report.distribution) == ("duplicate", "acme-b")
    assert "acme-a 1.2.3" in report.cause
    assert [r.distribution for r in registry.plugin_reports() if r.status == "ok"] == ["acme-a"]


@pytest.mark.parametrize("name", known("backends"))
def test_a_known_distribution_has_first_claim_on_its_name(site: Path, name: str) -> None:
    for distribution, module in (
        ("aaa-first", "acme_first"),
        (known("backends")[name].distribution, "acme_own"),
    ):
        source = {module: DESCRIPTOR.format(name=name)}
        install(site, distribution, {BACKENDS: {name: f"{module}:descriptor"}}, source)
    registry = registry_of(site)
    assert registry.backend_descriptors()[name].distribution == known("backends")[name].distribution
    assert [report.distribution for report in problems(registry)] == ["aaa-first"]


def test_one_object_under_two_entry_points_is_registered_once(site: Path) -> None:
    install(
        site, "acme-all", {BACKENDS: {"all": "acme_all"}, PLUGINS: {"all": "acme_all"}}, {"acme_all": HOOKS}
    )
    registry = registry_of(site)
    assert list(registry.backend_descriptors()) == ["hooked"]
    assert [(report.status, report.group) for report in problems(registry)] == [("duplicate", PLUGINS)]


def test_only_the_first_copy_of_a_distribution_on_the_path_counts(site: Path) -> None:
    new, old = site / "new", site / "old"
    install(new, "Acme.Gone", {}, version="2.0")
    install(old, "acme-gone", {BACKENDS: {"gone": "acme_gone"}}, version="1.0")
    for folder, version in ((new, "2.0"), (old, "1.0")):
        install(folder, "acme-kept", {BACKENDS: {"kept": "acme_kept"}}, version=version)
    registry = PluginRegistry(path=[str(new), str(old)])
    assert [(r.distribution, r.version) for r in registry.plugin_reports()] == [("acme-kept", "2.0")]


def test_unreadable_metadata_hides_no_other_distribution(site: Path) -> None:
    info = install(site, "acme-damaged", {})
    (info / "entry_points.txt").write_bytes(b"\xff\xfe[isograd.backends.v1]")
    install(
        site, "acme-a", {BACKENDS: {"a": "acme_a:descriptor"}}, {"acme_a": DESCRIPTOR.format(name="mine")}
    )
    registry = registry_of(site)
    assert list(registry.backend_descriptors()) == ["mine"]
    (report,) = problems(registry)
    assert report.status == "failed"
    assert str(site) in report.cause


def test_discovery_waits_for_the_first_query_and_each_hook_is_called_once(site: Path) -> None:
    source = HOOKS + (
        "\nimport time\ncalls = []\n_plain = isograd_backends\n"
        "@hookimpl\ndef isograd_backends():\n    calls.append(1); time.sleep(0.05); return _plain()\n"
    )
    install(site, "acme-all", {PLUGINS: {"all": "acme_all"}}, {"acme_all": source})
    registry = registry_of(site)
    assert "acme_all" not in sys.modules
    threads = 8
    barrier = threading.Barrier(threads)

    def query(_: int) -> tuple[list[str], int]:
        barrier.wait()
        return list(registry.backend_descriptors()), len(registry.plugin_reports())

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(query, range(threads)))
    assert results == [(["hooked"], 1)] * threads
    with registry.registered(CommandDescriptor("wave", "Wave a hand", lambda: print)):
        assert list(registry.command_descriptors()) == ["greet", "wave"]
        assert list(registry.backend_descriptors()) == ["hooked"]
    assert sys.modules["acme_all"].calls == [1]


def test_an_interrupt_passes_and_the_next_query_starts_afresh(site: Path) -> None:
    source = {"acme_a": "import interrupting\n" + DESCRIPTOR.format(name="mine")}
    (site / "interrupting.py").write_text("raise KeyboardInterrupt")
    install(site, "acme-a", {BACKENDS: {"mine": "acme_a:descriptor"}}, source)
    registry = registry_of(site)
    with pytest.raises(KeyboardInterrupt):
        registry.backend_descriptors()
    sys.modules["interrupting"] = sys
    try:
        assert list(registry.backend_descriptors()) == ["mine"]
    finally:
        del sys.modules["interrupting"]


@pytest.mark.parametrize("when", ["imported", "asked"])
def test_a_plugin_that_queries_the_registry_itself_hides_nothing(
    site: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    registry = registry_of(site)
    monkeypatch.setitem(sys.modules, "registry_under_test", SimpleNamespace(registry=registry))
    source = "from isograd.plugins import hookimpl\nfrom registry_under_test import registry\n" + DESCRIPTOR
    if when == "imported":
        source += "registry.backend_descriptors()\n"
    else:
        source += "@hookimpl\ndef isograd_backends(): registry.backend_descriptors(); return [descriptor]\n"
    for letter in "abc":
        module = f"acme_{letter}"
        value = module + (":descriptor" if when == "imported" else "")
        install(site, f"acme-{letter}", {BACKENDS: {letter: value}}, {module: source.format(name=letter)})
    assert list(registry.backend_descriptors()) == ["a", "b", "c"]
    assert problems(registry) == []


def test_each_problem_is_logged_once_in_one_line(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, (source, attribute, _) in enumerate(BROKEN.values()):
        module = f"acme_{number}"
        install(site, f"acme-{number}", {PLUGINS: {"it": module + attribute}}, {module: source})
    registry = registry_of(site)
    with caplog.at_level(logging.INFO, "isograd.plugins"):
        registry.plugin_reports()
        registry.refresh()
        found = registry.plugin_reports()
    assert sorted(record.getMessage() for record in caplog.records) == sorted(map(str, found))
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert not any("\n" in record.getMessage() for record in caplog.records)


def test_refresh_sees_what_was_installed_meanwhile(site: Path) -> None:
    registry = registry_of(site)
    for count, letter in enumerate("ab", start=1):
        source = {f"acme_{letter}": DESCRIPTOR.format(name=letter)}
        install(site, f"acme-{letter}", {BACKENDS: {letter: f"acme_{letter}:descriptor"}}, source)
        registry.refresh()
        assert len(registry.backend_descriptors()) == count
    first = registry.backend_descriptors()
    registry.refresh()
    assert registry.backend_descriptors() == first
