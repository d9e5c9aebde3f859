"""Registration in this process: whole or not at all, and undone without a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from isograd import plugins
from isograd.errors import ArgumentError, ArgumentTypeError, PluginError
from isograd.plugins import (
    BackendDescriptor,
    CommandDescriptor,
    DatasetDescriptor,
    PluginRegistry,
    hookimpl,
    hookspecs,
)
from isograd.plugins.known import known
from isograd.plugins.offers import HOOKS


@pytest.fixture
def registry() -> PluginRegistry:
    """A registry that finds nothing installed."""
    return PluginRegistry(path=[])


def unused() -> Any:
    raise AssertionError("a listing must not load anything")


def backend(name: str) -> BackendDescriptor:
    return BackendDescriptor(name, "A backend", unused, dtypes=("float32",))


def dataset(name: str) -> DatasetDescriptor:
    return DatasetDescriptor(name, "A data set", unused, "CC0-1.0", 10)


class Offering:
    """A plugin with two hooks."""

    def __init__(self, backends: Sequence[object], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.backends = backends
        self.functions = functions

    @hookimpl
    def isograd_backends(self) -> Sequence[object]:
        return self.backends

    @hookimpl
    def isograd_functions(self) -> Mapping[str, Callable[..., Any]]:
        return self.functions


def test_a_registered_descriptor_is_offered_until_unregistered(registry: PluginRegistry) -> None:
    assert registry.register(backend("mine")) == "mine"
    assert list(registry.backend_descriptors()) == ["mine"]
    registry.unregister("mine")
    assert registry.backend_descriptors() == {}
    assert registry.plugin_reports() == ()


def test_a_with_block_ends_the_registration_even_when_it_raises(registry: PluginRegistry) -> None:
    def block() -> None:
        with registry.registered(backend("mine")) as name:
            assert list(registry.backend_descriptors()) == [name]
            raise LookupError

    with pytest.raises(LookupError):
        block()
    assert registry.backend_descriptors() == {}


def test_the_functions_of_the_module_serve_one_registry_of_the_process() -> None:
    with plugins.registered(backend("only-in-this-test")):
        assert "only-in-this-test" in plugins.backend_descriptors()
        assert "only-in-this-test" in {report.name for report in plugins.plugin_reports()}
    assert "only-in-this-test" not in plugins.backend_descriptors()


@pytest.mark.parametrize(
    ("clash", "message"),
    [
        (Offering([backend("new"), backend("taken")], {"new": abs}), "isograd_backends offers 'taken'"),
        (Offering([backend("new")], {"new": abs, "taken": abs}), "isograd_functions offers 'taken'"),
    ],
)
def test_a_name_already_offered_refuses_the_whole_plugin(
    registry: PluginRegistry, clash: object, message: str
) -> None:
    registry.register(Offering([backend("taken")], {"taken": abs}), "first")
    with pytest.raises(ArgumentError, match=message) as caught:
        registry.register(clash, "second")
    assert "'first'" in str(caught.value)
    assert list(registry.backend_descriptors()) == ["taken"]
    assert registry.registered_functions() == {"taken": abs}
    assert [report.name for report in registry.plugin_reports()] == ["first"]


class Misspelt:
    @hookimpl
    def isograd_backend(self) -> Sequence[BackendDescriptor]:
        return ()


class Raising:
    @hookimpl
    def isograd_datasets(self) -> Sequence[DatasetDescriptor]:
        raise OSError("gone")


class Empty:
    pass


@dataclass
class Thawed:
    size: int


class OfferingThawedLayer:
    @hookimpl
    def isograd_layers(self) -> Sequence[type]:
        return [Thawed]


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Misspelt(), "unknown hook 'isograd_backend'"),
        (Raising(), "isograd_datasets failed: OSError: gone"),
        (Empty(), "without hook implementations"),
        (OfferingThawedLayer(), "returned Thawed where a frozen dataclass was expected"),
        (42, "without hook implementations"),
    ],
)
def test_a_faulty_plugin_is_refused_with_its_cause_and_leaves_nothing(
    registry: PluginRegistry, plugin: object, message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        registry.register(plugin, "faulty")
    assert registry.plugin_reports() == ()
    registry.register(backend("faulty"))


def test_a_refusal_is_chained_to_what_the_hook_raised(registry: PluginRegistry) -> None:
    with pytest.raises(PluginError) as caught:
        registry.register(Raising())
    assert isinstance(caught.value.__cause__, OSError)


def test_an_object_and_a_name_are_registered_once(registry: PluginRegistry) -> None:
    plugin = Offering([], {})
    registry.register(plugin)
    with pytest.raises(ArgumentError, match="already registered as plugin 'Offering'"):
        registry.register(plugin, "again")
    with pytest.raises(ArgumentError, match="pass another name="):
        registry.register(Offering([], {}))
    with pytest.raises(ArgumentError, match="'absent'; expected one registered in this process: Offering"):
        registry.unregister("absent")


def test_a_hook_that_queries_the_registry_sees_all_but_itself(registry: PluginRegistry) -> None:
    seen: list[str] = []

    class Curious:
        @hookimpl
        def isograd_backends(self) -> Sequence[BackendDescriptor]:
            seen.extend(registry.backend_descriptors())
            return [backend("curious")]

    registry.register(backend("first"))
    registry.register(Curious())
    assert seen == ["first"]
    assert list(registry.backend_descriptors()) == ["curious", "first"]


def test_a_hook_wrapper_reaches_no_other_plugin(registry: PluginRegistry) -> None:
    class Wrapping:
        @hookimpl(wrapper=True)
        def isograd_backends(self) -> Any:
            yield
            return []

    registry.register(backend("mine"))
    with pytest.raises(PluginError, match="it returned None"):
        registry.register(Wrapping())
    assert list(registry.backend_descriptors()) == ["mine"]


def test_an_unknown_data_set_lists_what_is_installed_and_what_could_be(registry: PluginRegistry) -> None:
    registry.register(dataset("digits"))
    with pytest.raises(ArgumentError) as caught:
        registry.load_dataset_plugin("letters")
    message = str(caught.value)
    assert "'letters'" in message
    assert "installed: digits" in message
    for name, row in known("datasets").items():
        assert f"{name}: {row.install}" in message
    for name, row in known("datasets").items():
        with pytest.raises(ArgumentError) as caught:
            registry.load_dataset_plugin(name)
        assert f"{name!r}, which is not installed: {row.install}" in str(caught.value)
    with pytest.raises(ArgumentTypeError, match="name is 5; expected a str"):
        registry.load_dataset_plugin(5)  # type: ignore[arg-type]


def test_every_hook_is_specified_and_checked() -> None:
    specified = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "isograd_spec")}
    assert specified.keys() == HOOKS.keys()
    for hook in specified.values():
        for section in ("Called", "Returns\n    -------"):
            assert section in (hook.__doc__ or "")


@pytest.mark.parametrize("name", ["Upper", "a:b", "", "a--b", "-a", "a-", "1a", "a b", "naïve", "a\n", "a.b"])
@pytest.mark.parametrize(
    "make", [backend, dataset, lambda name: CommandDescriptor(name, "A command", unused)]
)
def test_a_descriptor_refuses_a_name_that_users_could_not_type(
    make: Callable[[str], object], name: str
) -> None:
    with pytest.raises(ArgumentError, match=r"\.name is .*; expected lower-case words"):
        make(name)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"name": 5}, ArgumentTypeError, "BackendDescriptor.name is 5, a int; expected a str"),
        ({"summary": None}, ArgumentTypeError, "'mine': summary is None; expected a str"),
        ({"summary": " "}, ArgumentError, "summary is ' '; expected one line"),
        ({"summary": "two\nlines"}, ArgumentError, "expected one line"),
        ({"load": 5}, ArgumentTypeError, "load is 5; expected a callable"),
        ({"requires": "framework"}, ArgumentTypeError, "requires is 'framework'; expected a tuple"),
        ({"requires": ("a.b",)}, ArgumentError, "requires holds 'a.b'"),
        ({"dtypes": "float32"}, ArgumentTypeError, "dtypes is 'float32'; expected a tuple"),
        ({"dtypes": ("float32", 5)}, ArgumentTypeError, "expected a tuple of str"),
        ({"distribution": 5}, ArgumentTypeError, "distribution is 5; expected a str or None"),
        ({"specification": 0}, ArgumentError, "specification is 0; expected at least 1"),
        ({"priority": True}, ArgumentTypeError, "priority is True; expected an int"),
    ],
)
def test_a_backend_descriptor_names_the_field_that_is_wrong(
    fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    good: dict[str, Any] = {"name": "mine", "summary": "A backend", "load": unused, "dtypes": ("float32",)}
    BackendDescriptor(**good)
    with pytest.raises(error) as caught:
        BackendDescriptor(**good | fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("licence", "examples", "error"),
    [
        (None, 1, ArgumentTypeError),
        (" ", 1, ArgumentError),
        ("MIT", 0, ArgumentError),
        ("MIT", 1.5, ArgumentTypeError),
    ],
)
def test_a_data_set_descriptor_states_licence_and_size(
    licence: Any, examples: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"DatasetDescriptor 'digits': (licence|examples) is"):
        DatasetDescriptor("digits", "Digits", unused, licence, examples)
