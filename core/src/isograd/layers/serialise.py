"""Layer specs as plain data, and as JSON and TOML.

A layer is a table of its class name, ``type``, and the fields that differ from their defaults; a list of
layers is a document ``{"format": 1, "layers": [...]}``:

    format = 1

    [[layers]]
    type = "ConvPool"
    maps = 20

    [[layers]]
    type = "Softmax"
    n_out = 10

A function goes into a file under a registered name alone (`isograd.layers.functions`), an initialiser of this
package as a table too. Reading looks classes and functions up by name among isograd's own and those that
plugins offer; nothing is imported because a file says so.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import tomli_w

from isograd import plugins
from isograd.errors import ArgumentError, ArgumentTypeError, FileFormatError
from isograd.layers import functions
from isograd.layers.base import Layer, given_fields
from isograd.layers.convolution import Convolution, ConvPool
from isograd.layers.dense import FullyConnected, Softmax
from isograd.layers.initialisers import Constant, Initialiser, InitialiserLike, Normal, ScaledNormal
from isograd.layers.normalisation import BatchNorm
from isograd.layers.pooling import AveragePool, L2Pool, MaxPool
from isograd.layers.simple import Activation, Dropout, Flatten
from isograd.layers.validation import label
from isograd.tables import construct, own_and_offered

FORMAT = 1
"""The format of layers in files; a newer one is refused."""

T = TypeVar("T")

_LAYERS: Mapping[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Activation,
        AveragePool,
        BatchNorm,
        ConvPool,
        Convolution,
        Dropout,
        Flatten,
        FullyConnected,
        L2Pool,
        MaxPool,
        Softmax,
    )
}
_INITIALISERS: Mapping[str, type[Initialiser]] = {
    kind.__name__: kind for kind in (Constant, Normal, ScaledNormal)
}


def layer_types() -> dict[str, type[Layer]]:
    """Every layer class that a file may name: isograd's own, and after them those that plugins offer."""
    return own_and_offered(_LAYERS, plugins.layer_classes(), Layer)  # type: ignore[type-abstract]


def to_data(layer: Layer) -> dict[str, Any]:
    """A layer as a table of strings, numbers, truth values, lists and tables.

    Raises
    ------
    ArgumentError
        If it could not be read again: its class is neither isograd's own nor offered by a plugin, or it holds
        a function without a registered name. The message says how to mend that.
    ArgumentTypeError
        If it is no layer, or a field holds something that has no form in a file.
    """
    if not isinstance(layer, Layer):
        raise ArgumentTypeError(f"layer is a {type(layer).__name__}; expected a Layer")
    kind = type(layer)
    if _layer_type(kind.__name__) is not kind:
        raise ArgumentError(
            f"layer is {layer!r}, whose class could not be found again by its name; offer it through the "
            "plugin hook isograd_layers (isograd.plugins.register does so for one process)"
        )
    return _table(layer, label(layer))


def from_data(data: Mapping[str, Any]) -> Layer:
    """The layer of a table that `to_data` wrote.

    Raises
    ------
    FileFormatError
        If the type is unknown, or a field is unknown, missing or has a value that the layer does not take.
        The message lists what is known.
    """
    _check_table(data, "layer")
    kind = _layer_type(data["type"])
    if kind is None:
        raise FileFormatError(f"type is {data['type']!r}; expected {', '.join(layer_types())}")
    return _construct(kind, data)


def initialiser_to_data(initialiser: InitialiserLike) -> str | dict[str, Any]:
    """An initialiser, or the scheme of a network, as a name or a table. Raises as `to_data` does."""
    settled = functions.as_data("initialiser", initialiser)
    data: str | dict[str, Any] = _encode(settled, "initialiser", "initialiser")
    return data


def initialiser_from_data(data: str | Mapping[str, Any]) -> InitialiserLike:
    """What `initialiser_to_data` wrote, in the form that specs keep.

    Raises
    ------
    FileFormatError
        If the name or the type is unknown, or the table is not as described.
    """
    if isinstance(data, str):
        try:
            functions.lookup("initialiser", data)
        except ArgumentError as error:
            raise FileFormatError(str(error)) from error
        return data
    _check_table(data, "initialiser")
    kind = _INITIALISERS.get(data["type"])
    if kind is None:
        raise FileFormatError(f"type is {data['type']!r}; expected {', '.join(_INITIALISERS)}")
    return _construct(kind, data)


def layers_to_data(layers: Iterable[Layer]) -> dict[str, Any]:
    """A document of layers. Raises as `to_data` does; the message names the layer's position."""
    tables = []
    for position, layer in enumerate(layers):
        try:
            tables.append(to_data(layer))
        except (ArgumentError, ArgumentTypeError) as error:
            raise type(error)(f"layers[{position}]: {error}") from error
    return {"format": FORMAT, "layers": tables}


def layers_from_data(document: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The layers of a document that `layers_to_data` wrote.

    Raises
    ------
    FileFormatError
        If the format is newer than this isograd's, or the document is not as described.
    """
    layers = []
    for position, table in enumerate(_checked_tables(document)):
        try:
            layers.append(from_data(table))
        except FileFormatError as error:
            raise FileFormatError(f"layers[{position}]: {error}") from error
        except RecursionError as error:
            raise FileFormatError(f"layers[{position}]: too many tables within tables") from error
    return tuple(layers)


def to_json(layers: Iterable[Layer]) -> str:
    """Layers as JSON. Raises as `to_data` does."""
    return json.dumps(layers_to_data(layers), indent=2, allow_nan=False) + "\n"


def from_json(text: str) -> tuple[Layer, ...]:
    """The layers that `to_json` wrote. Raises `FileFormatError` if the text is no such JSON."""

    def load(text: str) -> Any:
        return json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_no_constant)

    return _parse(text, load, "JSON")


def to_toml(layers: Iterable[Layer]) -> str:
    """Layers as TOML. Raises as `to_data` does."""
    return tomli_w.dumps(layers_to_data(layers))


def from_toml(text: str) -> tuple[Layer, ...]:
    """The layers that `to_toml` wrote. Raises `FileFormatError` if the text is no such TOML."""
    return _parse(text, tomllib.loads, "TOML")


def _layer_type(name: str) -> type[Layer] | None:
    # Plugins are asked only for what isograd does not have itself.
    return _LAYERS.get(name) or layer_types().get(name)


def _table(spec: Layer | Initialiser, where: str) -> dict[str, Any]:
    kinds = {field.name: field.metadata.get(functions.KIND) for field in fields(spec)}
    return {
        "type": type(spec).__name__,
        **{
            name: _encode(value, f"{where}: {name}", kinds[name])
            for name, value in given_fields(spec).items()
        },
    }


def _encode(value: Any, where: str, kind: functions.Kind | None) -> Any:
    """One value of a field as data; `kind` says what functions the field holds."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_encode(item, where, kind) for item in value]
    if isinstance(value, Layer):
        return to_data(value)
    if type(value) in _INITIALISERS.values():
        return _table(value, where)
    if callable(value) and kind is not None:
        return functions.registered_name(kind, value, where)
    raise ArgumentTypeError(
        f"{where} is {value!r}; a file holds finite numbers, truth values, strings, lists, layers, "
        f"initialisers and, in fields whose metadata has {functions.KIND!r}, registered functions"
    )


def _decode(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_decode(item) for item in value)
    if isinstance(value, Mapping):
        _check_table(value, "layer or initialiser")
        return initialiser_from_data(value) if value["type"] in _INITIALISERS else from_data(value)
    return value


def _construct(kind: type[T], data: Mapping[str, Any]) -> T:
    """An instance of a dataclass from its table; whatever it refuses is the file's fault."""
    values = {key: _decode(value) for key, value in data.items() if key != "type"}
    try:
        return construct(kind, values, kind.__name__)
    except (TypeError, ValueError) as error:
        raise FileFormatError(str(error)) from error


def _check_table(data: object, what: str) -> None:
    if not isinstance(data, Mapping):
        raise FileFormatError(f"the {what} is {data!r}; expected a table with its type")
    if not isinstance(data.get("type"), str):
        raise FileFormatError(f"type is {data.get('type')!r}; expected the name of a type of {what}")


def _checked_tables(document: object) -> Sequence[Any]:
    """The tables of the layers in a document of a format that this isograd reads."""
    if not isinstance(document, Mapping):
        raise FileFormatError(f"the document is a {type(document).__name__}; expected a table")
    found = document.get("format")
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise FileFormatError(f"format is {found!r}; expected a whole number from 1")
    if found > FORMAT:
        raise FileFormatError(
            f"format is {found}, which a newer isograd wrote; this one reads format {FORMAT} and no newer one"
        )
    unknown = sorted(str(key) for key in document.keys() - {"format", "layers"})
    if unknown:
        raise FileFormatError(f"the document has {', '.join(unknown)}; expected format and layers")
    tables = document.get("layers")
    if not isinstance(tables, list | tuple):
        raise FileFormatError(f"layers is {tables!r}; expected a list of tables")
    return tables


def _parse(text: str, load: Callable[[str], Any], language: str) -> tuple[Layer, ...]:
    if not isinstance(text, str):
        raise ArgumentTypeError(f"text is a {type(text).__name__}; expected a str")
    try:
        return layers_from_data(load(text))
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"the text is no {language} that can be read: {error}") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # TOML forbids a repeated key; JSON's parser would silently take the last.
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError(f"a key is repeated among {', '.join(key for key, _ in pairs)}")
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
