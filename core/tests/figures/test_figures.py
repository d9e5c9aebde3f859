"""Figures show the numbers that they were given, all of them and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from isograd import figures
from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, FileAccessError, ShapeError, UnsupportedError
from isograd.figures.style import COLOURS, PAGE_COLOURS, PAGE_DPI, PAPER, figure_png
from isograd.training import EpochRecord, History

pytest.importorskip("matplotlib")

WEIGHTS = arrays(
    np.float32, array_shapes(min_dims=4, max_dims=4, max_side=4), elements=st.floats(-4, 4, width=32)
)
CLASSES = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*[arrays(np.int32, n, elements=st.integers(0, 3))] * 2)
)


def history_of(accuracies: list[float | None]) -> History:
    return History([EpochRecord(i, 1.0, 0.1, 1.0, 1.0, a) for i, a in enumerate(accuracies)])


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio of two sRGB colours "#RRGGBB"."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@settings(max_examples=15)
@given(weight=WEIGHTS, columns=st.none() | st.integers(1, 5))
def test_every_weight_of_every_channel_is_one_block_in_one_scale(weight: Any, columns: int | None) -> None:
    axes = figures.plot_filters(weight, columns=columns).axes[0]
    (image,) = axes.images
    picture, (_, right, bottom, _) = image.get_array(), image.get_extent()
    assert (picture.shape[0], picture.shape[1]) == (2 * bottom, 2 * right)
    # A block is where its frame is; two cells a pixel each way.
    (frames,) = axes.collections
    boxes = [frame.get_extents() for frame in frames.get_paths()]
    shown = [
        picture[round(2 * b.y0) : round(2 * b.y1) : 2, round(2 * b.x0) : round(2 * b.x1) : 2] for b in boxes
    ]
    assert not np.ma.getmaskarray(np.ma.stack(shown)).any()
    np.testing.assert_array_equal(np.stack(shown), weight.reshape(-1, *weight.shape[2:]))
    assert picture.count() == 4 * weight.size
    assert image.get_cmap()(0.0)[:3] == (1, 1, 1)
    assert image.get_cmap()(1.0)[:3] == (0, 0, 0)


@settings(max_examples=8)
@given(pair=CLASSES, limit=st.none() | st.integers(1, 4))
def test_errors_show_exactly_the_misclassified_images_with_right_and_given_class(
    pair: tuple[Any, Any], limit: int | None
) -> None:
    labels, predicted = pair
    images = np.arange(len(labels) * 4, dtype=np.uint8).reshape(-1, 1, 2, 2)
    data = Dataset(images, labels, classes=["a", "b", "c", "d"])
    wrong = np.flatnonzero(labels != predicted)[:limit]
    if not len(wrong):
        with pytest.raises(ArgumentError, match="no error"):
            figures.plot_errors(data, predicted, limit=limit)
        return
    used = [axes for axes in figures.plot_errors(data, predicted, columns=3, limit=limit).axes if axes.images]
    assert len(used) == len(wrong)
    for axes, index in zip(used, wrong, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), images[index, 0])
        texts = {text.get_va(): text.get_text() for text in axes.texts}
        assert texts == {"top": "abcd"[labels[index]], "bottom": "abcd"[predicted[index]]}


@given(pair=CLASSES)
def test_the_confusion_matrix_counts_every_pair_of_classes(pair: tuple[Any, Any]) -> None:
    labels, predicted = pair
    matrix = figures.confusion_matrix(labels, predicted, 5)
    expected = [[int(np.sum((labels == i) & (predicted == j))) for j in range(5)] for i in range(5)]
    np.testing.assert_array_equal(matrix, expected)


def test_the_confusion_figure_writes_each_count_in_its_cell() -> None:
    axes = figures.plot_confusion([0, 0, 1, 1], [0, 1, 1, 1], names=("cat", "dog")).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "1", (1, 0): "1", (1, 1): "2"}  # (column, row)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


@settings(max_examples=8)
@given(
    runs=st.lists(
        st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=4).filter(lambda run: any(run)),
        min_size=1,
        max_size=15,
    )
)
def test_curves_have_a_line_for_each_run_that_no_other_looks_like(runs: list[list[float | None]]) -> None:
    axes = figures.plot_curves({f"run {i}": history_of(run) for i, run in enumerate(runs)}).axes[0]
    for line, run in zip(axes.lines, runs, strict=True):
        points = [(epoch, 100 * value) for epoch, value in enumerate(run) if value is not None]
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == points
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(runs)


OPTIONAL = st.none() | st.floats(0, 1)


@settings(max_examples=10)
@given(epochs=st.lists(st.tuples(OPTIONAL, OPTIONAL, OPTIONAL), min_size=1, max_size=4))
def test_a_history_shows_all_that_the_run_recorded_and_no_empty_panel(epochs: list[Any]) -> None:
    records = [EpochRecord(i, float(i), 0.1, 1.0, 1.0, *measured) for i, measured in enumerate(epochs)]
    figure = figures.plot_history(History(records))

    def line(column: int, factor: int) -> list[tuple[float, float]]:
        return [(i, factor * e[column]) for i, e in enumerate(epochs) if e[column] is not None]

    every = [(float(i), float(i)) for i in range(len(epochs))]
    expected = {
        "cost": {"training, regularisation included": every, "validation": line(1, 1)},
        "accuracy (%)": {"validation": line(0, 100), "test": line(2, 100)},
    }
    shown = {
        axes.get_ylabel(): {line.get_label(): points(line) for line in axes.lines} for axes in figure.axes
    }
    measured = {title: {k: v for k, v in lines.items() if v} for title, lines in expected.items()}
    assert shown == {title: lines for title, lines in measured.items() if lines}
    looks = {(line.get_label(), line.get_color()) for axes in figure.axes for line in axes.lines}
    assert len({label for label, _ in looks}) == len({colour for _, colour in looks}) == len(looks)


def measured_of(*epochs: dict[str, float]) -> History:
    """A run's epochs with what was measured in each; the validation accuracy is 0.5, the cost 1, 2, ..."""
    return History(
        [
            EpochRecord(i, 1.0, 0.1, 1.0, 1.0, 0.5, float(i + 1), measured=measured)
            for i, measured in enumerate(epochs)
        ]
    )


NAMES = [f"{prefix}/{layer}.{array}" for prefix in "ab" for layer in "012" for array in ("weight", "bias")]
MEASURED = st.lists(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 9)), min_size=1, max_size=3).filter(
    lambda epochs: any(name.startswith("a/") and name.endswith("t") for e in epochs for name in e)
)


def points(line: Any) -> list[tuple[float, float]]:
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


@settings(max_examples=10)
@given(runs=st.lists(MEASURED, min_size=1, max_size=4))
def test_measured_numbers_have_a_panel_for_each_run_and_a_line_for_each_name(runs: Any) -> None:
    histories = {f"run {i}": measured_of(*run) for i, run in enumerate(runs)}
    figure = figures.plot_measured(histories, "a/", ending="t")
    looks: dict[str, set[Any]] = {}
    for axes, (title, history) in zip(figure.axes, histories.items(), strict=True):
        assert axes.get_title() == title
        shown = {f"a/{line.get_label()}": points(line) for line in axes.lines}
        assert shown == {
            name: [(r.epoch, r.measured[name]) for r in history.epochs if name in r.measured]
            for name in {name for r in history.epochs for name in r.measured}
            if name.startswith("a/") and name.endswith("t")
        }
        for line in axes.lines:
            look = (line.get_color(), line.get_marker(), line.get_linestyle())
            looks.setdefault(line.get_label(), set()).add(look)
    assert all(len(found) == 1 for found in looks.values())
    assert len(set.union(*looks.values())) == len(looks)
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == looks.keys()


@pytest.mark.parametrize(("prefix", "scale"), [("gradient_norm/", "log"), ("saturated/", "linear")])
def test_norms_have_a_logarithmic_axis_and_fractions_have_not(prefix: str, scale: str) -> None:
    (axes,) = figures.plot_measured(measured_of({f"{prefix}0": 0.0}, {f"{prefix}0": 1.0}), prefix).axes
    assert axes.get_yscale() == scale
    assert points(axes.lines[0]) == [(0, 0.0), (1, 1.0)]


@pytest.mark.filterwarnings("error")
def test_gradients_that_are_all_0_are_drawn_all_the_same(tmp_path: Path) -> None:
    figure = figures.plot_measured(measured_of({"gradient_norm/0": 0.0}))
    figures.write_figure(figure, tmp_path / "figure.svg")
    assert points(figure.axes[0].lines[0]) == [(0, 0.0)]


@pytest.mark.parametrize("opens", [True, False])
def test_overfitting_shows_training_against_validation_and_marks_the_opening(opens: bool) -> None:
    costs = (0.5, 0.25, 0.125) if opens else (0.5, 0.75, 0.5)
    history = measured_of(*({"training_accuracy": 0.75, "training_cost": cost} for cost in costs))
    accuracy, cost = figures.plot_overfitting(history).axes
    lines = {line.get_label(): points(line) for line in accuracy.lines[:2]}
    assert lines == {"training": [(i, 75.0) for i in range(3)], "validation": [(i, 50.0) for i in range(3)]}
    lines = {line.get_label(): points(line) for line in cost.lines[:2]}
    assert lines == {"training": [*enumerate(costs)], "validation": [(0, 1.0), (1, 2.0), (2, 3.0)]}
    for axes in (accuracy, cost):
        marks = [line.get_xdata()[0] for line in axes.lines[2:]]
        assert marks == ([1] if opens else [])


@settings(max_examples=8)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_values_are_points_in_their_order_from_the_top_with_their_numbers(values: list[float]) -> None:
    named = {f"name {i}": value for i, value in enumerate(values)}
    (axes,) = figures.plot_values(named, "accuracy (%)").axes
    (line,) = axes.lines
    assert points(line) == [(value, place) for place, value in enumerate(values)]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(named)
    assert axes.yaxis_inverted()
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        (f"{value:.2f}", (value, place)) for place, value in enumerate(values)
    ]
    assert axes.get_xlabel() == "accuracy (%)"


def test_the_numbers_of_values_are_inside_the_figure() -> None:
    figure = figures.plot_values({"a long name of an experiment": 99.23, "b": 97.8, "c": 99.67}, "accuracy")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for text in (*axes.texts, *axes.get_yticklabels()):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_a_png_of_a_page_is_the_figure_in_few_colours_and_without_transparency() -> None:
    image = pytest.importorskip("PIL.Image")
    figure = figures.plot_filters(np.arange(50.0).reshape(2, 1, 5, 5))
    width, height = figure.get_size_inches()
    with image.open(BytesIO(figure_png(figure))) as drawn:
        assert drawn.format == "PNG"
        assert abs(drawn.width - PAGE_DPI * width) <= 1
        assert abs(drawn.height - PAGE_DPI * height) <= 1
        assert len(drawn.getcolors()) <= PAGE_COLOURS
        assert "transparency" not in drawn.info
        assert drawn.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_every_colour_of_a_line_stands_out_from_the_paper() -> None:
    # WCAG 2.1, success criterion 1.4.11: graphical objects need 3 to 1.
    assert min(contrast(colour, PAPER) for colour in COLOURS) >= 3


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: figures.plot_filters(np.zeros((3, 4))), ShapeError, r"weight has shape \[3, 4\]"),
        (lambda: figures.plot_filters(np.full((1, 1, 1, 1), np.nan)), ArgumentError, "weight holds a NaN"),
        (lambda: figures.plot_filters([[[["a"]]]]), ArgumentTypeError, "weight is of dtype"),
        (lambda: figures.plot_filters(np.zeros((1, 1, 1, 1)), columns=0), ArgumentError, "columns is 0"),
        (lambda: figures.confusion_matrix([0, 1], [0]), ShapeError, "1 classes for 2 examples"),
        (lambda: figures.confusion_matrix([0.5], [0]), ArgumentTypeError, "labels is of dtype float64"),
        (lambda: figures.confusion_matrix([0], [-1]), ArgumentError, "predicted holds -1"),
        (lambda: figures.confusion_matrix([[0]], [0]), ShapeError, "labels has shape"),
        (lambda: figures.confusion_matrix([3], [0], 3), ArgumentError, "classes is 3"),
        (lambda: figures.plot_errors(Dataset(np.zeros((1, 3)), [0]), [1]), ShapeError, r"shape \[3\]"),
        (lambda: figures.plot_curves({}), ArgumentError, "histories has 0 runs"),
        (lambda: figures.plot_measured([]), ArgumentTypeError, "histories is a list"),  # type: ignore[arg-type]
        (lambda: figures.plot_measured({"a": 1}), ArgumentTypeError, r"histories\['a'\] is a int"),  # type: ignore[dict-item]
        (lambda: figures.plot_measured({}), ArgumentError, "histories has 0 runs; expected 1 to 4"),
        (lambda: figures.plot_measured(measured_of({}), 7), ArgumentTypeError, "prefix is 7"),  # type: ignore[arg-type]
        (
            lambda: figures.plot_measured(measured_of({})),
            ArgumentError,
            r"the history has no epoch with a mea",
        ),
        (
            lambda: figures.plot_measured(measured_of({f"a/{i}": 1.0 for i in range(16)}), "a/"),
            ArgumentError,
            "16 measured names begin with 'a/'",
        ),
        (lambda: figures.plot_overfitting(measured_of({})), ArgumentError, "no epoch with both"),
        (lambda: figures.plot_values({}, "x"), ArgumentError, "values has 0 entries; expected 1 to 60"),
        (lambda: figures.plot_values([1.0], "x"), ArgumentTypeError, "values is a list"),  # type: ignore[arg-type]
        (lambda: figures.plot_values({"a": True}, "x"), ArgumentTypeError, r"values\['a'\] is True"),
        (lambda: figures.plot_values({"a": 1.0, "b": np.nan}, "x"), ArgumentError, r"values\['b'\] is nan"),
        (lambda: figures.plot_history([]), ArgumentTypeError, "history is a list"),  # type: ignore[arg-type]
        (lambda: figures.plot_history(History()), ArgumentError, "history has no epoch"),
        (lambda: figures.plot_curves([]), ArgumentTypeError, "histories is a list"),
        (lambda: figures.plot_curves({"a": 1}), ArgumentTypeError, r"histories\['a'\] is a int"),
        (lambda: figures.plot_curves({"a": history_of([None])}), ArgumentError, "no epoch with"),
        (
            lambda: figures.plot_curves({"a": history_of([1.0])}, "speed"),
            ArgumentError,
            "quantity is 'speed'",
        ),
    ],
)
def test_what_can_not_be_drawn_is_named(
    draw: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        draw()


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [((9,), (3, 3)), ((2, 3), (2, 3)), ((1, 2, 3), (2, 3)), ((3, 2, 4), (2, 4, 3))],
)
def test_images_of_every_layout_are_drawn_upright(shape: tuple[int, ...], drawn: tuple[int, ...]) -> None:
    inputs = np.arange(np.prod(shape), dtype=np.uint8).reshape(1, *shape)
    (image,) = figures.plot_errors(Dataset(inputs, [0]), [1]).axes[0].images
    expected = np.moveaxis(inputs[0], 0, -1) / inputs.max() if len(drawn) == 3 else inputs.reshape(drawn)
    np.testing.assert_array_equal(image.get_array(), expected)


@pytest.mark.parametrize(("ending", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_files_ending_is_its_format(ending: str, begin: bytes, tmp_path: Path) -> None:
    figures.write_figure(figures.plot_filters(np.eye(2).reshape(1, 1, 2, 2)), tmp_path / f"a.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes().startswith(begin)


def test_a_file_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    figure = figures.plot_filters(np.eye(2).reshape(1, 1, 2, 2))
    with pytest.raises(ArgumentError, match="ends in"):
        figures.write_figure(figure, tmp_path / "figure.word")
    with pytest.raises(FileAccessError, match="can not be written"):
        figures.write_figure(figure, tmp_path / "missing" / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_a_figure_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UnsupportedError, match=r'pip install "isograd\[plot\]"'):
        figures.plot_curves({"run": history_of([0.5])})
