"""Files that hold no layers: each is refused with what came and what is known, and nothing is imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from isograd.errors import ArgumentTypeError, FileFormatError
from isograd.layers import (
    FORMAT,
    from_data,
    from_json,
    from_toml,
    initialiser_from_data,
    layers_from_data,
)

BAD_TABLES: list[tuple[Any, str]] = [
    (3, "the layer is 3; expected a table with its type"),
    ({}, "type is None; expected the name of a type of layer"),
    ({"type": ["Flatten"]}, r"type is \['Flatten'\]; expected the name"),
    (
        {"type": "Dense"},
        "type is 'Dense'; expected Activation, AveragePool, BatchNorm, ConvPool, Convolution, Dropout, Fl",
    ),
    ({"type": "os.system"}, "type is 'os.system'; expected Activation"),
    ({"type": "Constant", "value": 1.0}, "type is 'Constant'; expected Activation"),
    ({"type": "Softmax"}, "Softmax lacks n_out"),
    ({"type": "Flatten", "axis": 1}, "Flatten has no field axis; expected name"),
    (
        {"type": "Softmax", "n_out": 2, "activation": "relu"},
        "Softmax has no field activation; expected .*n_out",
    ),
    ({"type": "Softmax", "n_out": "2"}, "Softmax: n_out is '2'; expected a whole number"),
    ({"type": "Softmax", "n_out": 2.0}, "Softmax: n_out is 2.0; expected a whole number"),
    ({"type": "Softmax", "n_out": 0}, "Softmax: n_out is 0; expected at least 1"),
    ({"type": "Softmax", "n_out": 2, "name": 1}, "Softmax: name is 1; expected a str or None"),
    ({"type": "Softmax", "n_out": 2, "_roles": ["bias"]}, "Softmax has no field _roles"),
    ({"type": "Activation", "function": "os.system"}, "Activation: function is 'os.system'; expected linear"),
    (
        {"type": "Activation", "function": None},
        "Activation: function is None; expected the name of an activation",
    ),
    (
        {"type": "Activation", "function": {"type": "Flatten"}},
        r"Activation: function is Flatten\(\); expected",
    ),
    (
        {"type": "Activation", "function": {"type": []}},
        r"type is \[\]; expected the name of a type of layer or",
    ),
    ({"type": "MaxPool", "window": [2, 2, 2]}, r"MaxPool: window is \(2, 2, 2\); expected one number or two"),
    (
        {"type": "Softmax", "n_out": 2, "weight_init": {"type": "Constant", "value": "x"}},
        "Constant: value is 'x'; expected a number",
    ),
    (
        {"type": "Softmax", "n_out": 2, "weight_init": {"type": "Uniform"}},
        "type is 'Uniform'; expected Activation",
    ),
]


@pytest.mark.parametrize(("table", "message"), BAD_TABLES)
def test_a_table_that_is_no_layer_is_refused_with_what_is_known(table: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"^{message}"):
        from_data(table)
    with pytest.raises(FileFormatError, match=rf"^layers\[1\]: {message}"):
        layers_from_data({"format": 1, "layers": [{"type": "Flatten"}, table]})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document is a list; expected a table"),
        ({}, "format is None; expected a whole number from 1"),
        ({"format": "1", "layers": []}, "format is '1'; expected a whole number"),
        ({"format": True, "layers": []}, "format is True; expected a whole number"),
        ({"format": 0, "layers": []}, "format is 0; expected a whole number from 1"),
        (
            {"format": FORMAT + 1, "news": []},
            "format is 2, which a newer isograd wrote; this one reads format 1",
        ),
        ({"format": 1}, "layers is None; expected a list of tables"),
        ({"format": 1, "layers": {}}, "layers is {}; expected a list of tables"),
        ({"format": 1, "layers": [], "init": "he"}, "the document has init; expected format and layers"),
    ],
)
def test_a_document_of_another_form_is_refused(document: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"^{message}"):
        layers_from_data(document)
    with pytest.raises(FileFormatError, match=f"^{message}"):
        from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (from_json, '{"format": 1, "layers": [', "the text is no JSON that can be read: "),
        (
            from_json,
            '{"format": 1, "layers": [], "format": 1}',
            "the text is no JSON .* a key is repeated among",
        ),
        (
            from_json,
            '{"format": 1, "layers": [{"type": "Dropout", "p_dropout": NaN}]}',
            "the text is no JSON .* NaN is no number of JSON",
        ),
        (from_json, "[" * 100_000, "the text is no JSON that can be read: "),
        (from_json, '{"format": ' + "9" * 5000 + "}", "the text is no JSON that can be read: "),
        (from_toml, "format = 1\nformat = 1", "the text is no TOML that can be read: "),
        (from_toml, "format = 2", "format is 2, which a newer isograd wrote"),
        (from_toml, "a = " + "[" * 100_000, "the text is no TOML that can be read: "),
    ],
)
def test_text_that_can_not_be_parsed_is_refused(read: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"^{message}"):
        read(text)


def test_tables_within_tables_without_end_are_refused() -> None:
    table: dict[str, Any] = {"type": "Flatten"}
    for _ in range(2 * sys.getrecursionlimit()):
        table = {"type": "Activation", "function": table}
    with pytest.raises(FileFormatError, match=r"^layers\[0\]: too many tables within tables"):
        layers_from_data({"format": 1, "layers": [table]})


@pytest.mark.parametrize("read", [from_json, from_toml])
def test_what_is_no_text_is_refused(read: Callable[[Any], Any]) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^text is a bytes; expected a str"):
        read(b"format = 1")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("xavier", "initialiser is 'xavier'; expected chapter, glorot, he, n_in, zeros"),
        (3, "the initialiser is 3; expected a table with its type"),
        ({"type": "Flatten"}, "type is 'Flatten'; expected Constant, Normal, ScaledNormal"),
        (
            {"type": "Normal", "deviation": 1},
            "Normal has no field deviation; expected standard_deviation, mean",
        ),
    ],
)
def test_an_initialiser_of_another_form_is_refused(data: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=f"^{message}"):
        initialiser_from_data(data)
