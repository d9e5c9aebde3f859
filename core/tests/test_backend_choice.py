"""The choice of a backend: which source decides, and what each error tells its reader."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.backend import Backend, Capabilities
from isograd.backend_choice import ENVIRONMENT_VARIABLE, BackendChoice, choose_backend, load_backend
from isograd.errors import ArgumentError, ArgumentTypeError, PluginError
from isograd.plugins import BackendDescriptor, PluginRegistry
from isograd.plugins.known import known


class NamedBackend(Backend):
    """A backend that can be chosen and nothing more."""

    version = "1.0"
    capabilities = Capabilities(dtypes=frozenset({"float32"}))

    def __init__(self, name: str, devices: tuple[str, ...] = ("cpu", "cuda:0", "cuda:1")) -> None:
        self.name = name
        self._devices = devices

    def devices(self) -> list[str]:
        return list(self._devices)

    def to_device(self, array: np.ndarray[Any, Any], device: str) -> Any:
        raise NotImplementedError

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def compile(self, function: Any, device: str) -> Any:
        raise NotImplementedError


def descriptor(name: str, **fields: Any) -> BackendDescriptor:
    defaults: dict[str, Any] = {"load": lambda: NamedBackend(name), "dtypes": ("float32",)}
    return BackendDescriptor(name, "A backend", **defaults | fields)


@pytest.fixture
def registry() -> PluginRegistry:
    """The backends "alpha" and "beta", of equal priority."""
    registry = PluginRegistry(path=[])
    for name in ("beta", "alpha"):
        registry.register(descriptor(name))
    return registry


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


def names(choice: BackendChoice) -> tuple[str, str]:
    return choice.backend.name, choice.device


def test_argument_then_environment_then_run_file_then_priority_decides(
    registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, priority in (("first", 7), ("gamma", 7), ("delta", 3)):
        registry.register(descriptor(name, priority=priority))
    assert names(choose_backend(registry=registry)) == ("first", "cpu")
    assert names(choose_backend(run_file="alpha", registry=registry)) == ("alpha", "cpu")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "beta:cuda:1")
    assert names(choose_backend(run_file="alpha", registry=registry)) == ("beta", "cuda:1")
    assert names(choose_backend("delta", "alpha", registry=registry)) == ("delta", "cpu")


@given(priorities=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-3, 3), min_size=1))
def test_without_a_name_the_highest_priority_decides_and_ties_go_by_name(priorities: dict[str, int]) -> None:
    registry = PluginRegistry(path=[])
    for name, priority in priorities.items():
        registry.register(descriptor(name, priority=priority))
    highest = max(priorities.values())
    first = min(name for name, priority in priorities.items() if priority == highest)
    assert choose_backend(registry=registry).backend.name == first


def test_without_a_name_a_backend_whose_framework_is_missing_is_passed_over(registry: PluginRegistry) -> None:
    registry.register(descriptor("best", priority=9, requires=("no_such_framework",)))
    assert choose_backend(registry=registry).backend.name == "alpha"


def test_a_backend_object_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "no-such-backend")
    own = NamedBackend("own", ("tpu:0",))
    assert choose_backend(own) == (own, "tpu:0")


@pytest.mark.parametrize(
    ("specification", "device"),
    [("alpha", "cpu"), ("alpha:cpu", "cpu"), ("alpha:cuda:1", "cuda:1"), ("alpha:cuda", "cuda:0")],
)
def test_the_device_is_all_after_the_first_colon(
    registry: PluginRegistry, specification: str, device: str
) -> None:
    assert names(choose_backend(specification, registry=registry)) == ("alpha", device)


@pytest.mark.parametrize("device", ["gpu", "cuda:2", "cud", "cuda:", "CPU"])
def test_an_unknown_device_lists_the_devices(registry: PluginRegistry, device: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        choose_backend(f"alpha:{device}", registry=registry)
    assert str(caught.value) == (
        f"argument backend asks for the device {device!r} of backend 'alpha'; "
        "its devices are: cpu, cuda:0, cuda:1"
    )


def through_environment(registry: PluginRegistry, patch: pytest.MonkeyPatch, text: str) -> BackendChoice:
    patch.setenv(ENVIRONMENT_VARIABLE, text)
    return choose_backend(registry=registry)


# How a bad specification reaches `choose_backend`, and what the message must call that way.
SOURCES: dict[str, Callable[[PluginRegistry, pytest.MonkeyPatch, str], BackendChoice]] = {
    "argument backend": lambda registry, _, text: choose_backend(text, registry=registry),
    f"environment variable {ENVIRONMENT_VARIABLE}": through_environment,
    "run file": lambda registry, _, text: choose_backend(run_file=text, registry=registry),
}


@pytest.mark.parametrize("where", SOURCES)
@pytest.mark.parametrize(
    ("text", "message"),
    [(text, 'expected "NAME" or "NAME:DEVICE"') for text in ("", ":", ":cpu", "alpha:", " alpha", "alpha\n")]
    + [(text, "which is unknown\n  installed: alpha, beta") for text in ("unknown", "Alpha", "unknown:cpu")]
    + [("alpha:x", "its devices are: cpu")],
)
def test_an_error_says_where_the_specification_came_from(
    registry: PluginRegistry, monkeypatch: pytest.MonkeyPatch, where: str, text: str, message: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        SOURCES[where](registry, monkeypatch, text)
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)


@pytest.mark.parametrize("wrong", [5, b"alpha", ["alpha"], NamedBackend])
def test_a_specification_that_is_no_string_is_a_type_error(registry: PluginRegistry, wrong: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"argument backend is .*; expected \"NAME\""):
        choose_backend(wrong, registry=registry)


@pytest.fixture
def broken(tmp_path: Path) -> PluginRegistry:
    """A registry that finds one installed plugin, written for another version of the contract."""
    info = tmp_path / "acme_next-3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-next\nVersion: 3.0\n")
    (info / "entry_points.txt").write_text("[isograd.backends.v2]\nnext = acme_next\n")
    return PluginRegistry(path=[str(tmp_path)])


@pytest.mark.parametrize("where", SOURCES)
def test_an_unknown_name_lists_what_is_installed_what_could_be_and_what_is_broken(
    broken: PluginRegistry, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    broken.register(descriptor("mine"))
    with pytest.raises(ArgumentError) as caught:
        SOURCES[where](broken, monkeypatch, "next")
    message = str(caught.value)
    assert f"{where} names the backend 'next', which is unknown" in message
    assert "installed: mine" in message
    assert "not usable: plugin 'next' of acme-next 3.0: incompatible" in message
    for name, row in known("backends").items():
        assert f"{name}: {row.install}" in message


@pytest.mark.parametrize("name", known("backends"))
def test_a_known_backend_that_is_not_installed_comes_with_its_pip_command(
    registry: PluginRegistry, name: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        choose_backend(name, registry=registry)
    assert f"{name!r}, which is not installed: {known('backends')[name].install}" in str(caught.value)


@pytest.mark.parametrize("name", [*known("backends"), "mine"])
def test_a_missing_framework_is_named_with_the_pip_command_and_nothing_is_imported(
    registry: PluginRegistry, name: str
) -> None:
    registry.register(
        descriptor(name, load=pytest.fail, requires=("sys", "no_such_framework"), distribution="acme_plugin")
    )
    with pytest.raises(ArgumentError) as caught:
        choose_backend(name, registry=registry)
    command = known("backends")[name].install if name in known("backends") else "pip install acme_plugin"
    assert str(caught.value) == (
        f"argument backend names the backend {name!r}, which needs no_such_framework, not installed here; "
        f"to install it: {command}"
    )


def test_a_framework_counts_as_missing_where_its_import_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blocked_framework", None)
    monkeypatch.setitem(sys.modules, "handmade_framework", ModuleType("handmade_framework"))
    needing = descriptor("mine", requires=("blocked_framework", "handmade_framework", "json"))
    assert needing.missing() == ("blocked_framework",)


def test_with_no_usable_backend_the_error_says_how_to_get_one(broken: PluginRegistry) -> None:
    broken.register(descriptor("mine", requires=("no_such_framework",)))
    with pytest.raises(PluginError, match="no backend can be used here") as caught:
        choose_backend(registry=broken)
    assert "plugin 'next' of acme-next 3.0: incompatible" in str(caught.value)
    assert "mine: needs no_such_framework" in str(caught.value)
    for row in known("backends").values():
        assert row.install in str(caught.value)


class Panic(BaseException):
    """What an extension module may raise."""


@pytest.mark.parametrize("error", [ImportError("no library"), SystemExit(2), Panic("lost")])
def test_a_factory_that_raises_is_reported_with_distribution_version_and_cause(
    registry: PluginRegistry, error: BaseException
) -> None:
    def load() -> Backend:
        raise error

    registry.register(descriptor("broken", load=load, distribution="pluggy"))
    with pytest.raises(PluginError) as caught:
        choose_backend("broken", registry=registry)
    version = metadata.version("pluggy")
    assert str(caught.value).startswith(
        f"backend 'broken' of pluggy {version} can not be loaded: {type(error).__name__}"
    )
    assert caught.value.__cause__ is error


def test_a_descriptor_may_name_a_distribution_that_is_not_there(registry: PluginRegistry) -> None:
    registry.register(descriptor("broken", load=lambda: 5, distribution="no-such-distribution"))
    with pytest.raises(PluginError, match=r"'broken' of no-such-distribution \(not installed by that name\)"):
        choose_backend("broken", registry=registry)


def test_an_interrupt_while_a_framework_is_imported_passes(registry: PluginRegistry) -> None:
    def load() -> Backend:
        raise KeyboardInterrupt

    registry.register(descriptor("slow", load=load))
    with pytest.raises(KeyboardInterrupt):
        choose_backend("slow", registry=registry)


def without(attribute: str) -> Backend:
    backend = NamedBackend("broken")
    setattr(backend, attribute, None)
    return backend


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: 5, r"load\(\) returned a int; expected a Backend"),
        (lambda: NamedBackend, r"load\(\) returned a ABCMeta; expected a Backend"),
        (lambda: NamedBackend("other"), "the backend calls itself 'other'"),
        (lambda: without("name"), "the attribute name is missing or no str"),
        (lambda: without("version"), "the attribute version is missing or no str"),
        (lambda: without("capabilities"), "the attribute capabilities is missing or no Capabilities"),
    ],
)
def test_a_factory_must_keep_what_the_descriptor_promises(
    registry: PluginRegistry, load: Callable[[], Any], message: str
) -> None:
    registry.register(descriptor("broken", load=load))
    with pytest.raises(PluginError, match=message):
        choose_backend("broken", registry=registry)


def test_a_descriptor_may_not_declare_dtypes_that_its_backend_lacks(registry: PluginRegistry) -> None:
    registry.register(descriptor("broken", load=lambda: NamedBackend("broken"), dtypes=("float32", "int32")))
    with pytest.raises(PluginError, match="the descriptor declares int32, the capabilities do not"):
        choose_backend("broken", registry=registry)


def test_threads_that_choose_the_same_backend_at_once_get_one_object() -> None:
    made: list[Backend] = []
    threads = 8
    barrier = threading.Barrier(threads)
    pause = threading.Event()

    def load() -> Backend:
        pause.wait(0.05)
        made.append(NamedBackend("slow"))
        return made[-1]

    registry = PluginRegistry(path=[])
    registry.register(descriptor("slow", load=load))

    def choose(_: int) -> Backend:
        barrier.wait()
        return choose_backend("slow", registry=registry).backend

    with ThreadPoolExecutor(threads) as pool:
        chosen = set(pool.map(choose, range(threads)))
    assert chosen == set(made)
    assert len(made) == 1


def test_another_descriptor_of_the_same_name_gets_a_backend_of_its_own() -> None:
    one, other = descriptor("same"), descriptor("same")
    assert load_backend(one) is load_backend(one)
    assert load_backend(one) is not load_backend(other)


def test_a_failure_is_not_remembered(registry: PluginRegistry) -> None:
    attempts: list[int] = []

    def load() -> Backend:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("device busy")
        return NamedBackend("moody")

    registry.register(descriptor("moody", load=load))
    with pytest.raises(PluginError, match="device busy"):
        choose_backend("moody", registry=registry)
    assert choose_backend("moody", registry=registry).backend.name == "moody"


def test_a_backend_may_choose_another_while_it_is_made(registry: PluginRegistry) -> None:
    class Wrapping(NamedBackend):
        def __init__(self) -> None:
            super().__init__("wrapping")
            self.inner = choose_backend("alpha", registry=registry).backend

    registry.register(descriptor("wrapping", load=Wrapping))
    wrapping = choose_backend("wrapping", registry=registry).backend
    assert isinstance(wrapping, Wrapping)
    assert wrapping.inner is choose_backend("alpha", registry=registry).backend


def test_register_backend_takes_an_object_or_a_factory() -> None:
    registry = PluginRegistry(path=[])
    own = NamedBackend("own")
    registry.register_backend("own", own)
    registry.register_backend("made", lambda: NamedBackend("made"), dtypes=("float32",), priority=1)
    assert choose_backend("own", registry=registry).backend is own
    assert registry.backend_descriptors()["own"].dtypes == ("float32",)
    assert choose_backend(registry=registry).backend.name == "made"
    registry.unregister("own")
    with pytest.raises(ArgumentError, match="'own', which is unknown"):
        choose_backend("own", registry=registry)
    with pytest.raises(ArgumentError, match="name is 'other', but the backend's own name is 'own'"):
        registry.register_backend("other", own)
