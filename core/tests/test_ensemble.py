"""Networks that vote: by the definition, each from one pass over the data, and the same from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

import isograd
from isograd.ensemble import Ballot, Ensemble
from isograd.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileAccessError,
    FileFormatError,
    IsogradError,
    ShapeError,
)
from isograd.evaluation import CHUNK_ROWS
from isograd.layers import Activation, FullyConnected, Softmax
from isograd.network import Network
from isograd.testing import ReferenceBackend
from isograd.training import tensor_file

BACKEND = ReferenceBackend()
FEATURES, CLASSES = 3, 4


def network(seed: int = 0, dtype: str = "float32", units: int = 2, **options: Any) -> Network:
    layers = [FullyConnected(units), Softmax(CLASSES, weight_init="n_in", bias_init="n_in")]
    return Network(layers, (FEATURES,), seed, dtype=dtype, **options)


members = st.lists(
    st.builds(
        network, st.integers(0, 99), dtype=st.sampled_from(["float32", "float64"]), units=st.integers(1, 3)
    ),
    min_size=1,
    max_size=5,
)


def examples(n: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (n, FEATURES)), generator.integers(0, CLASSES, n)


@given(data=st.data(), networks=st.integers(1, 6), n=st.integers(1, 8), classes=st.integers(1, 4))
def test_a_decision_is_that_of_the_definition(
    data: st.DataObject, networks: int, n: int, classes: int
) -> None:
    # Few values, so that votes and means are often equal.
    votes = [[data.draw(st.integers(0, classes - 1)) for _ in range(n)] for _ in range(networks)]
    means = [[data.draw(st.integers(0, 2)) / 2 for _ in range(classes)] for _ in range(n)]
    ballot = Ballot(np.array(votes, np.int32), np.array(means).reshape(n, classes))
    plurality, mean = [], []
    for example in range(n):
        given = [vote[example] for vote in votes]
        # The largest by (votes, mean probability); max takes the first of equals.
        plurality.append(max(range(classes), key=lambda c: (given.count(c), means[example][c])))
        mean.append(max(range(classes), key=lambda c: means[example][c]))
        assert ballot.counts()[example].tolist() == [given.count(c) for c in range(classes)]
    for vote, expected in (("plurality", plurality), ("mean", mean)):
        found = ballot.decision(vote)  # type: ignore[arg-type]
        assert (found.dtype, found.tolist()) == (np.int32, expected)


def test_three_votes_of_five_win_and_two_against_two_are_decided_by_probability() -> None:
    probabilities = np.array([[0.1, 0.9], [0.4, 0.6], [0.5, 0.5]])
    odd = Ballot(np.array([[0], [0], [0], [1], [1]], np.int32), probabilities[:1])
    assert odd.decision("plurality").tolist() == [0]
    assert odd.decision("mean").tolist() == [1]
    even = Ballot(np.array([[0, 0, 0], [1, 1, 1]], np.int32), probabilities)
    assert even.decision("plurality").tolist() == [1, 1, 0]


@given(networks=members, n=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_votes_are_the_networks_predictions_and_probabilities_their_mean(
    networks: list[Network], n: int, seed: int
) -> None:
    x, _ = examples(n, seed)
    ensemble = Ensemble(networks)
    ballot = ensemble.ballot(x, backend=BACKEND)
    assert ballot.votes.dtype == np.int32
    assert ballot.votes.tolist() == [one.predict(x, backend=BACKEND).tolist() for one in networks]
    probabilities = ensemble.predict_proba(x, backend=BACKEND)
    assert (probabilities.dtype, probabilities.shape) == (np.float64, (n, CLASSES))
    each = [one.predict_proba(x, backend=BACKEND).astype(float) for one in networks]
    for index in np.ndindex(n, CLASSES):
        exact = sum(Fraction(float(one[index])) for one in each) / len(networks)
        # k - 1 additions and a division of numbers that are at least 0: at most k roundings of the result
        # (Higham, "Accuracy and Stability of Numerical Algorithms", section 4.2); 2 k covers higher orders.
        assert abs(Fraction(float(probabilities[index])) - exact) <= 2 * len(networks) * exact * 2.0**-53


@given(networks=members, n=st.integers(1, 5), vote=st.sampled_from(["plurality", "mean"]))
@settings(max_examples=15)
def test_accuracy_and_errors_count_where_the_decision_is_not_the_label(
    networks: list[Network], n: int, vote: Any
) -> None:
    data = examples(n)
    ensemble = Ensemble(networks)
    found = ensemble.predict(data[0], vote, backend=BACKEND)
    wrong = [i for i in range(n) if found[i] != data[1][i]]
    errors = ensemble.errors(data, vote, backend=BACKEND)
    assert (errors.dtype, errors.tolist()) == (np.int64, wrong)
    assert ensemble.accuracy(data, vote, backend=BACKEND) == (n - len(wrong)) / n


@given(networks=members)
@settings(max_examples=10)
def test_one_network_or_the_same_many_times_decide_as_it_does(networks: list[Network]) -> None:
    x, _ = examples(6)
    expected = networks[0].predict(x, backend=BACKEND).tolist()
    for count in (1, 2, 3):
        assert Ensemble(networks[:1] * count).predict(x, backend=BACKEND).tolist() == expected


def test_the_data_pass_through_each_network_once_in_chunks() -> None:
    class Counting(ReferenceBackend):
        runs = 0

        def run_steps(
            self, executable: Any, state: Any, resident: Any, per_step: Mapping[str, Any], steps: int
        ) -> Any:
            self.runs += 1
            return super().run_steps(executable, state, resident, per_step, steps)

    n = CHUNK_ROWS + 1
    counting = Counting()
    ensemble = Ensemble([network(seed) for seed in range(3)])
    ensemble.errors(examples(n), backend=counting)
    assert counting.runs == 3 * 2
    whole = ensemble.ballot(examples(n)[0], backend=BACKEND)
    assert whole.votes.shape == (3, n)
    last = ensemble.ballot(examples(n)[0][-1:], backend=BACKEND)
    assert whole.votes[:, -1:].tolist() == last.votes.tolist()


@settings(max_examples=5)
@given(shifts=st.integers(0, 2), seed=st.integers(0, 99))
def test_with_shifts_each_network_votes_by_its_mean_over_the_shifts(shifts: int, seed: int) -> None:
    layers = [FullyConnected(2), Softmax(CLASSES, weight_init="n_in")]
    ensemble = Ensemble([Network(layers, (1, 3, 3), seed + i) for i in range(2)])
    x = np.random.default_rng(seed).uniform(-1, 1, (3, 1, 3, 3))
    ballot = ensemble.ballot(x, backend=BACKEND, shifts=shifts)
    total = np.zeros(ballot.probabilities.shape)
    for one, votes in zip(ensemble.networks, ballot.votes, strict=True):
        assert votes.tolist() == one.predict(x, backend=BACKEND, shifts=shifts).tolist()
        total += one.predict_proba(x, backend=BACKEND, shifts=shifts)
    assert ballot.probabilities.tobytes() == (total / 2).tobytes()
    given = ballot.decision("mean")
    asked = {"backend": BACKEND, "shifts": shifts}
    assert ensemble.predict(x, "mean", **asked).tolist() == given.tolist()
    assert ensemble.predict_proba(x, **asked).tobytes() == ballot.probabilities.tobytes()
    labels = np.random.default_rng(seed).integers(0, CLASSES, 3)
    assert ensemble.errors((x, labels), "mean", **asked).tolist() == np.flatnonzero(given != labels).tolist()
    assert ensemble.accuracy((x, labels), "mean", **asked) == np.mean(given == labels)


def test_an_ensemble_shows_what_it_has() -> None:
    networks = [network(seed) for seed in range(2)]
    ensemble = isograd.Ensemble(networks)
    assert ensemble.networks == tuple(networks)
    assert (len(ensemble), ensemble.input_shape, ensemble.classes) == (2, (FEATURES,), CLASSES)
    assert repr(ensemble) == "Ensemble(2 networks, input_shape=(3,), classes=4)"
    assert repr(Ensemble(networks[:1])) == "Ensemble(1 network, input_shape=(3,), classes=4)"


@pytest.mark.parametrize(
    ("networks", "kind", "message"),
    [
        ([], ArgumentError, "networks has 0; expected 1 to 1,000 networks"),
        ([network()] * 1001, ArgumentError, "networks has 1,001; expected 1 to 1,000 networks"),
        (network(), ArgumentTypeError, "networks is a Network; expected a list of networks"),
        (5, ArgumentTypeError, "networks is a int; expected a list of networks"),
        ([network(), "x"], ArgumentTypeError, r"networks\[1\] is 'x'; expected a Network"),
        (
            [network(), Network([Softmax(CLASSES)], (5,))],
            ShapeError,
            r"networks\[1\] has input_shape \[5\]; networks\[0\] has \[3\]",
        ),
        (
            [network(), network(), Network([Softmax(2)], (FEATURES,))],
            ShapeError,
            r"networks\[2\] has output_shape \[2\]; networks\[0\] has \[4\]",
        ),
    ],
)
def test_networks_that_can_not_vote_together_are_refused(
    networks: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        Ensemble(networks)


def test_bad_arguments_are_refused_by_name() -> None:
    ensemble, (x, y) = Ensemble([network()]), examples(3)
    for call in (ensemble.predict, ensemble.accuracy, ensemble.errors):
        with pytest.raises(ArgumentError, match="vote is 'most'; expected 'plurality' or 'mean'"):
            call((x, y) if call != ensemble.predict else x, "most", backend=BACKEND)  # type: ignore[operator]
    with pytest.raises(ShapeError, match="x has examples of shape"):
        ensemble.predict(np.zeros((2, 5)), backend=BACKEND)
    with pytest.raises(ArgumentError, match="data has labels from 0 to 4; the network has 4 classes"):
        ensemble.accuracy((x, np.array([0, 4, 1])), backend=BACKEND)
    broken = Ensemble([network(), network()])
    broken.networks[1].parameters["0.bias"] = np.zeros(7, np.float32)
    with pytest.raises(ShapeError, match=r"networks\[1\]: parameters: 0.bias"):
        broken.predict(x, backend=BACKEND)


# Files


def contents(one: Network) -> Any:
    arrays = {path: (a.dtype, a.shape, a.tobytes()) for path, a in one.checked_arrays().items()}
    return one.layers, one.input_shape, one.seed, one.init, one.dtype, arrays


@given(networks=members)
@settings(max_examples=15)
def test_a_saved_ensemble_is_loaded_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, networks: list[Network]
) -> None:
    path = tmp_path_factory.mktemp("files") / "ensemble.safetensors"
    Ensemble(networks).save(path)
    loaded = Ensemble.load(str(path))
    assert [contents(one) for one in loaded.networks] == [contents(one) for one in networks]
    x, _ = examples(3)
    expected = Ensemble(networks).predict_proba(x, backend=BACKEND)
    assert loaded.predict_proba(x, backend=BACKEND).tobytes() == expected.tobytes()


def test_more_than_ten_networks_keep_their_order(tmp_path: Path) -> None:
    Ensemble([network(seed) for seed in range(12)]).save(tmp_path / "file")
    assert [one.seed for one in Ensemble.load(tmp_path / "file").networks] == list(range(12))


def test_each_kind_of_file_names_who_reads_it(tmp_path: Path) -> None:
    network().save(tmp_path / "network")
    Ensemble([network()]).save(tmp_path / "ensemble")
    with pytest.raises(FileFormatError, match=r"network: holds one network.*isograd.Network.load reads it"):
        Ensemble.load(tmp_path / "network")
    for load in (Network.load, network().load_parameters):
        with pytest.raises(FileFormatError, match=r"ensemble: holds an ensemble.*isograd.Ensemble.load"):
            load(tmp_path / "ensemble")


def test_what_can_not_be_saved_names_the_network_and_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    Ensemble([network(7)]).save(path)
    strange = Network([Activation(lambda z: z), Softmax(CLASSES)], (FEATURES,))
    with pytest.raises(ArgumentError, match=r"networks\[1\]: "):
        Ensemble([network(), strange]).save(path)
    with pytest.raises(FileAccessError, match="can not be written"):
        Ensemble([network()]).save(tmp_path / "nowhere" / "file")
    assert [one.seed for one in Ensemble.load(path).networks] == [7]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two") / "ensemble.safetensors"
    Ensemble([network(1), network(2)]).save(path)
    return path


@settings(max_examples=100)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, two: Path, data: st.DataObject
) -> None:
    changed = bytearray(two.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("changed") / "file"
    path.write_bytes(bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))]))
    try:
        loaded = Ensemble.load(path)
    except IsogradError:
        return
    assert [contents(one) for one in loaded.networks] == [contents(network(seed)) for seed in (1, 2)]


Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document, _: document.update(networks=[]), "networks has 0; expected 1 to 1,000"),
        (lambda document, _: document.update(networks=[None] * 1001), "networks has 1,001; expected 1 to"),
        (lambda document, _: document.update(networks={}), "networks is {}; expected list"),
        (lambda document, _: document.update(more=1), "the document has .*more; expected"),
        (lambda document, _: document.pop("networks"), "the document has format, isograd; expected"),
        (lambda document, _: document["networks"].pop(), "there are arrays of '1', which is none"),
        (
            lambda document, _: document["networks"].append(document["networks"][0]),
            r"networks\[2\]: the array 0.weight is missing",
        ),
        (lambda document, _: document["networks"].insert(0, 5), r"networks\[0\]: its entry is int"),
        (lambda document, _: document["networks"][1].update(seed=-1), r"networks\[1\]: seed is -1"),
        (
            lambda document, _: document["networks"][1].update(dtype="float64"),
            r"networks\[1\]: 0.weight is float32; expected float64",
        ),
        (
            lambda document, _: document["networks"][1].update(input_shape=[10**9]),
            r"networks\[1\]: 0.weight has shape \(3, 2\); expected \(1000000000, 2\)",
        ),
        (lambda _, arrays: arrays.pop("1/0.bias"), r"networks\[1\]: the array 0.bias is missing"),
        (
            lambda _, arrays: arrays.update({"1/2.bias": np.zeros(2, np.float32)}),
            r"networks\[1\]: the array 2.bias belongs to nothing",
        ),
        (
            lambda _, arrays: arrays.update({"velocity": np.zeros(2, np.float32)}),
            "there are arrays of 'velocity'",
        ),
        (
            lambda _, arrays: arrays.update({"01/0.bias": np.zeros(2, np.float32)}),
            "there are arrays of '01'",
        ),
    ],
)
def test_each_entry_is_checked_even_if_the_digest_is_right(
    two: Path, tmp_path: Path, change: Change, message: str
) -> None:
    document, arrays = opened(two)
    change(document, arrays)
    tensor_file.write(tmp_path / "forged", document, arrays)
    with pytest.raises(FileFormatError, match=message) as raised:
        Ensemble.load(tmp_path / "forged")
    assert str(raised.value).startswith(str(tmp_path / "forged"))


def test_a_file_whose_networks_do_not_fit_together_is_refused(two: Path, tmp_path: Path) -> None:
    other = Network([Softmax(2)], (FEATURES,))
    other.save(tmp_path / "other")
    (document, arrays), (single, others) = opened(two), opened(tmp_path / "other")
    document["networks"].append(single["network"])
    arrays |= {f"2/{name}": array for name, array in others.items()}
    tensor_file.write(tmp_path / "forged", document, arrays)
    with pytest.raises(FileFormatError, match=r"forged: networks\[2\] has output_shape \[2\]"):
        Ensemble.load(tmp_path / "forged")


def opened(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and the arrays of a file, by the safetensors library alone."""
    with safetensors.safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["isograd"])
        return document, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
