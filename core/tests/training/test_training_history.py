"""What a run records, and which epoch it reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.errors import FileAccessError, FileFormatError
from isograd.testing import ReferenceBackend
from isograd.training import Callback, EpochRecord, History, Progress

Make = Callable[..., Any]

fractions = st.integers(0, 5).map(lambda hits: hits / 5)
accuracies = st.lists(fractions, min_size=1, max_size=8)


def history_of(validation: list[float | None], test: list[float | None] | None = None) -> History:
    test = test or [None] * len(validation)
    return History(
        [
            EpochRecord(
                epoch=epoch,
                cost=1.0,
                eta=0.1,
                seconds=1.0,
                images_per_second=10.0,
                validation_accuracy=accuracy,
                test_accuracy=tested,
            )
            for epoch, (accuracy, tested) in enumerate(zip(validation, test, strict=True))
        ]
    )


@given(accuracies)
def test_the_best_epoch_is_that_of_the_best_validation_accuracy_of_equals_the_later(
    validation: list[float],
) -> None:
    so_far = [accuracy == max(validation[: epoch + 1]) for epoch, accuracy in enumerate(validation)]
    tested = [epoch / 10 if is_best else None for epoch, is_best in enumerate(so_far)]
    history = history_of([*validation], tested)
    best = max(epoch for epoch, accuracy in enumerate(validation) if accuracy == max(validation))
    assert history.best_epoch == best
    assert history.best_validation_accuracy == max(validation)
    assert history.test_accuracy == best / 10
    assert history.test_epoch == best


@given(accuracies)
def test_an_epoch_improves_only_if_it_exceeds_all_before(validation: list[float]) -> None:
    improved = [e for e, accuracy in enumerate(validation) if all(accuracy > a for a in validation[:e])]
    assert history_of([*validation]).epochs_without_improvement == len(validation) - 1 - improved[-1]


def test_without_validation_the_last_epoch_is_reported_and_without_epochs_none() -> None:
    assert history_of([None, None], [0.5, 0.25]).test_accuracy == 0.25
    assert history_of([None, None]).epochs_without_improvement == 0
    assert History().best_epoch is None
    assert History().best_validation_accuracy is None
    assert History().test_accuracy is None
    assert History().test_epoch is None


numbers = st.floats(width=64)
records = st.lists(
    st.tuples(
        numbers, numbers, numbers, numbers, *[st.none() | numbers] * 3,
        st.dictionaries(st.text(max_size=8), numbers, max_size=3), st.none() | numbers,
    ),
    max_size=4,
)  # fmt: skip


@given(
    records, st.sampled_from([None, "completed", "interrupted", "early stopping", "callback", "max_steps"])
)
def test_json_gives_back_every_number_to_the_last_bit(values: list[Any], stopped: Any) -> None:
    history = History([EpochRecord(epoch, *row) for epoch, row in enumerate(values)], stopped)
    text = history.to_json()
    json.loads(text, parse_constant=pytest.fail)
    again = History.from_json(text)
    assert again.stopped == stopped
    assert repr(again) == repr(history)


GOOD = {"format": 1, "stopped": "completed", "epochs": []}
RECORD = history_of([0.5]).to_data()["epochs"][0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ([], "format 1"),
        ({**GOOD, "format": 2}, "format 1"),
        ({"format": 1}, "stopped and epochs"),
        ({**GOOD, "more": 1}, "stopped and epochs"),
        ({**GOOD, "stopped": "bored"}, "stopped is 'bored'"),
        ({**GOOD, "stopped": []}, "stopped is"),
        ({**GOOD, "epochs": {}}, "epochs is no list"),
        ({**GOOD, "epochs": [1]}, "epoch 0: expected an object"),
        ({**GOOD, "epochs": [{**RECORD, "epoch": 1}]}, "epoch 0 is numbered 1"),
        ({**GOOD, "epochs": [{**RECORD, "cost": "much"}]}, "cost is 'much'"),
        ({**GOOD, "epochs": [{**RECORD, "cost": None}]}, "cost is None"),
        ({**GOOD, "epochs": [{**RECORD, "eta": True}]}, "eta is True"),
        ({**GOOD, "epochs": [{**RECORD, "eta": []}]}, r"eta is \[\]"),
        ({**GOOD, "epochs": [{**RECORD, "test_accuracy": 10**400}]}, "test_accuracy is 10000"),
        ({**GOOD, "epochs": [{**RECORD, "more": {}}]}, "epoch 0: expected an object"),
        ({**GOOD, "epochs": [{**RECORD, "measured": None}]}, "measured is None; expected an object"),
        ({**GOOD, "epochs": [{**RECORD, "measured": [1.0]}]}, r"measured is \[1.0\]"),
        ({**GOOD, "epochs": [{**RECORD, "measured": {"test": None}}]}, "measured test is None"),
        ({**GOOD, "epochs": [{**RECORD, "measured": {"a": 1}}]}, "measured a is 1; expected a number"),
    ],
)
def test_text_that_is_no_history_is_refused(data: Any, message: str) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    with pytest.raises(FileFormatError, match=message):
        History.from_json(text)


def test_a_history_of_an_earlier_version_measured_nothing() -> None:
    assert "measured" not in RECORD
    assert History.from_data({"stopped": None, "epochs": [RECORD]}).epochs[0].measured == {}


def test_a_plot_is_the_figure_of_the_history_and_is_written_as_figures_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = history_of([0.5, 0.75], [0.25, None]).plot(tmp_path / "history.svg")
    assert (tmp_path / "history.svg").read_bytes().startswith(b"<?xml")
    assert [axes.get_ylabel() for axes in figure.axes] == ["cost", "accuracy (%)"]
    with pytest.raises(FileAccessError, match="can not be written"):
        history_of([0.5]).plot(tmp_path / "missing" / "history.png")


@settings(max_examples=8)
@given(seed=st.integers(0, 200))
def test_the_test_data_are_looked_at_only_where_validation_is_best_so_far(
    backend: ReferenceBackend, make_data: Make, make_network: Make, seed: int
) -> None:
    network = make_network(seed=seed)
    validation, test = make_data(7, seed + 1), make_data(5, seed + 2)
    seen: list[tuple[float, float]] = []

    def look(record: EpochRecord) -> None:
        seen.append((network.accuracy(validation, backend=backend), network.accuracy(test, backend=backend)))

    history = network.SGD(make_data(10, seed), 6, 2, 2.0, validation, test, callbacks=[look], backend=backend)
    assert [r.validation_accuracy for r in history.epochs] == [accuracy for accuracy, _ in seen]
    for epoch, (accuracy, tested) in enumerate(seen):
        best_so_far = accuracy == max(accuracy for accuracy, _ in seen[: epoch + 1])
        assert history.epochs[epoch].test_accuracy == (tested if best_so_far else None)
    assert history.test_accuracy == seen[history.best_epoch or 0][1]


@settings(max_examples=5)
@given(seed=st.integers(0, 200), stop=st.integers(1, 6))
def test_a_run_of_fixed_epochs_looks_at_the_test_data_once_also_when_it_is_resumed(
    backend: ReferenceBackend, make_data: Make, make_network: Make, seed: int, stop: int
) -> None:
    network, test = make_network(seed=seed), make_data(5, seed + 2)
    arguments = (make_data(6, seed), 3, 2, 2.0, make_data(7, seed + 1), test)
    network.SGD(*arguments, tested="last", max_steps=stop, backend=backend)
    history = network.SGD(*arguments, tested="last", resume=True, backend=backend)
    assert [r.test_accuracy for r in history.epochs[:-1]] == [None, None]
    assert history.test_accuracy == network.accuracy(test, backend=backend)
    assert history.test_epoch == 2


def test_an_epoch_records_the_mean_of_its_steps_costs_and_the_validation_cost(
    backend: ReferenceBackend, make_data: Make, make_network: Make
) -> None:
    # Two steps of 4 and 3 rows; the second has 3/4 of the weight that its own mean would have.
    network, data, validation = make_network(), make_data(7), make_data(5, 1)
    parts = (data[:4], data[4:])
    costs: list[float] = []

    class BeforeEachStep(Callback):
        every = 1

        def on_start(self, progress: Progress) -> None:
            self.on_chunk(progress)

        def on_chunk(self, progress: Progress) -> None:
            if progress.step < 2:
                part = parts[progress.step]
                of_data = progress.network.cost(part, backend=backend)
                with_l2 = progress.network.cost(part, 1.0, mini_batch_size=len(part), backend=backend)
                costs.append(of_data * len(part) / 4 + (with_l2 - of_data) * 0.5 / 2)

    history = network.SGD(
        data, 1, 4, 0.5, validation, lmbda=0.5, shuffle=False, callbacks=[BeforeEachStep()], backend=backend
    )
    (record,) = history.epochs
    # The same sums in another order: some hundred roundings, each of less than twice the total.
    assert abs(record.cost - sum(costs) / 2) <= 200 * 2.0**-53 * sum(costs)
    assert record.validation_cost == network.cost(validation, backend=backend)
    assert record.seconds > 0
    assert record.images_per_second == 7 / record.seconds
    assert (record.epoch, record.eta, record.test_accuracy) == (0, 0.5, None)


@given(patience=st.integers(1, 3))
def test_training_stops_early_after_epochs_without_improvement(
    backend: ReferenceBackend, make_data: Make, make_network: Make, patience: int
) -> None:
    # Steps of 1e-9 change no classification: epoch 0 is the only one that improves on those before.
    network = make_network()
    history = network.SGD(make_data(), 9, 5, 1e-9, make_data(), early_stopping=patience, backend=backend)
    assert history.stopped == "early stopping"
    assert len(history.epochs) == patience + 1


@settings(max_examples=10)
@given(seed=st.integers(0, 200), patience=st.integers(1, 2))
def test_after_stopping_early_the_network_has_the_parameters_of_the_best_epoch(
    backend: ReferenceBackend, make_data: Make, make_network: Make, seed: int, patience: int
) -> None:
    network, validation = make_network(seed=seed), make_data(9, seed + 1)
    snapshots: list[dict[str, Any]] = []
    history = network.SGD(
        make_data(8, seed), 12, 2, 3.0, validation, early_stopping=patience, backend=backend,
        callbacks=[lambda record: snapshots.append(network.parameters)],
    )  # fmt: skip
    kept = history.best_epoch if history.stopped == "early stopping" else len(history.epochs) - 1
    assert kept is not None
    for path, array in network.parameters.items():
        assert array.tobytes() == snapshots[kept][path].tobytes()
    if history.stopped == "early stopping":
        assert history.epochs_without_improvement == patience
        assert network.accuracy(validation, backend=backend) == history.best_validation_accuracy
