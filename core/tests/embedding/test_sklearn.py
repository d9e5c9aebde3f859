"""isograd networks as scikit-learn estimators."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isograd
from isograd import CrossEntropy, FullyConnected, LogLikelihood, Network, Quadratic, Softmax
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.testing import ReferenceBackend
from isograd.training import Triangular

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sklearn.md"
# Unlike the defaults in every respect that could hide a mistake, and quick.
QUICK = {"layers": [FullyConnected(4, "tanh")], "epochs": 3, "mini_batch_size": 7, "random_state": 5}

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def estimators(library: Callable[[str], Any]) -> Any:
    library("sklearn")
    return library("isograd.sklearn")


@pytest.fixture
def classifier(estimators: Any) -> Make:
    """classifier(...): an `IsogradClassifier` that is quick to train."""
    return lambda **given: estimators.IsogradClassifier(**{**QUICK, **given})


@pytest.fixture
def regressor(estimators: Any) -> Make:
    """regressor(...): an `IsogradRegressor` that is quick to train."""
    return lambda **given: estimators.IsogradRegressor(**{**QUICK, **given})


def flowers(examples: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of texts, which three features tell apart."""
    rng = np.random.default_rng(seed)
    classes = np.arange(examples) % 3
    X = rng.normal(size=(examples, 3)) * 0.3 + 5 * np.eye(3)[classes]
    return X, np.array(["rose", "daisy", "tulip"])[classes]


def values(examples: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(examples, 3))
    return X, 100 + 10 * X @ np.array([1.0, -2.0, 0.5])


def arrays_of(estimator: Any) -> dict[str, bytes]:
    return {path: array.tobytes() for path, array in estimator.network_.checked_arrays().items()}


@pytest.mark.parametrize("kind", ["IsogradClassifier", "IsogradRegressor"])
def test_every_check_of_scikit_learn_passes_with_the_defaults(
    kind: str, estimators: Any, library: Callable[[str], Any]
) -> None:
    checks = library("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        # Of scikit-learn about its own checks: data that they convert, and one that it skips.
        warnings.simplefilter("ignore")
        results = checks.check_estimator(getattr(estimators, kind)(), on_fail=None)
    assert len(results) > 50
    failed = [f"{one['check_name']}: {one['exception']!r}" for one in results if one["status"] == "failed"]
    assert failed == []
    # It needs an environment variable that has to be set before SciPy is imported.
    assert {one["check_name"] for one in results if one["status"] != "passed"} <= {"check_array_api_input"}


def test_a_missing_scikit_learn_is_named_with_the_command_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try:\n    import isograd.sklearn\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert result.stdout.startswith("UnsupportedError")
    assert 'pip install "isograd[sklearn]"' in result.stdout


def test_an_estimator_trains_the_network_that_its_parameters_describe(
    classifier: Make, regressor: Make
) -> None:
    X, y = flowers()
    fitted = classifier(standardize=False, init="glorot", dtype="float32", momentum=0.5, eta=0.2).fit(X, y)
    same = Network([FullyConnected(4, "tanh"), Softmax(3)], (3,), 5, init="glorot")
    same.SGD((X.astype(np.float32), np.unique(y, return_inverse=True)[1]), 3, 7, 0.2, momentum=0.5)
    assert fitted.network_.layers == same.layers
    assert fitted.network_.predict_proba(X).tobytes() == same.predict_proba(X.astype(np.float32)).tobytes()
    assert fitted.history_.epochs[-1].cost == same.training.history.epochs[-1].cost

    X, y = values()
    other = regressor(standardize=False, eta=1e-5).fit(X, y)
    plain = Network(
        [FullyConnected(4, "tanh"), FullyConnected(1, "linear")],
        (3,),
        5,
        init="he",
        dtype="float64",
        cost=Quadratic(),
    )
    plain.SGD((X, y), 3, 7, 1e-5, momentum=0.9)
    assert other.predict(X).tobytes() == plain.predict(X)[:, 0].tobytes()


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_calls_of_partial_fit_are_the_epochs_of_fit(kind: str, request: pytest.FixtureRequest) -> None:
    make: Make = request.getfixturevalue(kind)
    X, y = flowers() if kind == "classifier" else values()
    weights = np.arange(len(y)) % 4
    options: dict[str, Any] = {"eta": Triangular(0.1, 9), "averaging": 0.5}
    whole = make(**options).fit(X, y, weights)
    steps = make(**options)
    for _ in range(3):
        classes = {"classes": np.unique(y)} if kind == "classifier" else {}
        steps.partial_fit(X, y, sample_weight=weights, **classes)
    assert arrays_of(steps) == arrays_of(whole)
    assert [r.cost for r in steps.history_.epochs] == [r.cost for r in whole.history_.epochs]
    assert steps.n_iter_ == 3
    # It goes on after fit, and with other data, more or fewer of them.
    whole.partial_fit(X[:5], y[:5])
    assert whole.n_iter_ == 4
    assert arrays_of(whole) != arrays_of(steps)


def test_partial_fit_refuses_what_it_can_not_go_on_with_and_changes_nothing(
    classifier: Make, regressor: Make
) -> None:
    X, y = flowers()
    with pytest.raises(ArgumentError, match="classes is None"):
        classifier().partial_fit(X, y)
    with pytest.raises(ArgumentError, match="class_weight is 'balanced'"):
        classifier(class_weight="balanced").partial_fit(X, y, np.unique(y))
    with pytest.raises(ArgumentError, match="early_stopping is 2"):
        classifier(early_stopping=2).partial_fit(X, y, np.unique(y))
    begun = classifier().partial_fit(X, y, np.unique(y))
    before = arrays_of(begun)
    # It begins with another class, and is longer than all.
    with pytest.raises(ArgumentError, match="y has the class 'tulips'; expected one of"):
        begun.partial_fit(X[:1], ["tulips"])
    with pytest.raises(ArgumentError, match="the first call had"):
        begun.partial_fit(X, y, ["rose", "orchid"])
    with pytest.raises(ArgumentError, match=r"momentum is 0\.1; the run to resume has 0\.9"):
        begun.set_params(momentum=0.1).partial_fit(X, y)
    assert arrays_of(begun) == before
    assert begun.set_params(momentum=0.9).partial_fit(X, y).n_iter_ == 2
    X, y = values()
    with pytest.raises(ShapeError, match="expected 1 outputs"):
        regressor().partial_fit(X, y).partial_fit(X, np.column_stack([y, y]))


def test_class_weights_are_sample_weights(classifier: Make) -> None:
    X, y = flowers(31)
    given = {"rose": 2.0, "daisy": 0.5}
    weights = np.array([given.get(one, 1.0) for one in y])
    assert arrays_of(classifier(class_weight=given).fit(X, y)) == arrays_of(classifier().fit(X, y, weights))
    own = np.arange(31) % 3 + 1.0
    together = classifier(class_weight=given).fit(X, y, own)
    assert arrays_of(together) == arrays_of(classifier().fit(X, y, weights * own))
    kinds, counts = np.unique(y, return_counts=True)
    balance = dict(zip(kinds, 31 / (3 * counts), strict=True))
    balanced = classifier(class_weight="balanced").fit(X, y)
    assert arrays_of(balanced) == arrays_of(classifier(class_weight=balance).fit(X, y))


@given(power=st.integers(-20, 20))
def test_the_unit_of_the_weights_does_not_matter(power: int, estimators: Any) -> None:
    X, y = values(12)
    weights = np.arange(12.0)
    fits = [
        estimators.IsogradRegressor(**{**QUICK, "epochs": 1}).fit(X, y, unit * weights)
        for unit in (1.0, 2.0**power)
    ]
    assert arrays_of(fits[0]) == arrays_of(fits[1])


def test_examples_without_weight_are_as_if_they_were_not_there(regressor: Make) -> None:
    X, y = values()
    weights = (np.arange(30) % 5).astype(float)
    kept = weights > 0
    with_them = regressor(standardize=False, eta=1e-5).fit(X, y, weights)
    without = regressor(standardize=False, eta=1e-5).fit(X[kept], y[kept], weights[kept])
    assert arrays_of(with_them) == arrays_of(without)
    with pytest.raises(ValueError, match="zero"):
        regressor().fit(X, y, np.zeros(30))


def test_pipelines_searches_in_processes_and_cross_validation(
    classifier: Make, library: Callable[[str], Any]
) -> None:
    selection = library("sklearn.model_selection")
    preprocessing = library("sklearn.preprocessing")
    X, y = flowers(60)
    pipeline = library("sklearn.pipeline").make_pipeline(
        preprocessing.MinMaxScaler(), classifier(epochs=10, eta=0.1)
    )
    search = selection.GridSearchCV(
        pipeline, {"isogradclassifier__layers": [[], [FullyConnected(4)]]}, cv=2, n_jobs=2
    )
    search.fit(X, y)
    assert search.best_score_ > 0.9
    assert (selection.cross_val_score(pipeline, X, y, cv=3) > 0.9).all()


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_pickles_and_clones_are_the_same(
    kind: str, request: pytest.FixtureRequest, library: Callable[[str], Any]
) -> None:
    make: Make = request.getfixturevalue(kind)
    X, y = flowers() if kind == "classifier" else values()
    fitted = make(eta=Triangular(0.05, 9)).fit(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert copy.predict(X).tolist() == fitted.predict(X).tolist()
    assert arrays_of(copy.partial_fit(X, y)) == arrays_of(fitted.partial_fit(X, y))
    clone = library("sklearn.base").clone(fitted)
    assert not hasattr(clone, "network_")
    assert arrays_of(clone.set_params(epochs=4).fit(X, y)) == arrays_of(fitted)


def test_each_estimator_has_a_backend_of_its_own(classifier: Make) -> None:
    class Counting(ReferenceBackend):
        compiled = 0

        def compile(self, function: Any, device: str) -> Any:
            self.compiled += 1
            return super().compile(function, device)

        def __deepcopy__(self, memo: object) -> Counting:
            return self

    X, y = flowers(9)
    own = Counting()
    on_own = classifier(backend=own, epochs=1).fit(X, y)
    after_training = own.compiled
    on_own.predict(X)
    assert 0 < after_training < own.compiled
    classifier(epochs=1).fit(X, y).predict(X)
    compiled = own.compiled
    assert on_own.network_.training.backend["name"] == "reference"
    on_own.predict_proba(X)
    assert own.compiled > compiled
    with pytest.raises(ArgumentError, match="nothing_like_it"):
        classifier(backend="nothing_like_it").fit(X, y)


def test_a_run_file_or_a_preset_is_a_network(classifier: Make, regressor: Make, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        '[network]\ninput_shape = [3]\ninit = "n_in"\ncost = "CrossEntropy"\n'
        'layers = [{ type = "FullyConnected", n_out = 2 }]\n'
        '[training]\nepochs = 1\nmini_batch_size = 1\neta = 1.0\n[data]\nname = "mnist"\n'
    )
    X, y = values()
    fitted = regressor(layers=str(path)).fit(X, np.column_stack([y, -y]) > 100)
    network = fitted.network_
    assert network.layers == (FullyConnected(2), FullyConnected(2, "linear"))
    assert (network.init, network.architecture.cost) == ("n_in", CrossEntropy())
    assert regressor(layers=path, cost=Quadratic(), init="he").fit(X, y).network_.init == "he"

    digits = np.zeros((10, 784), np.float32)
    shallow = classifier(layers="chapter6/shallow", epochs=1).fit(digits, np.arange(10) * 11)
    assert shallow.network_.input_shape == isograd.runs.read_preset("chapter6/shallow").network.input_shape
    assert shallow.classes_.tolist() == (np.arange(10) * 11).tolist()
    with pytest.raises(ArgumentError, match=r"layers: .*chapter6/shallow"):
        classifier(layers="chapter6/shalow").fit(*flowers())
    with pytest.raises(ArgumentError, match=r"Softmax\(n_out=10\), but y has 3 classes"):
        classifier(layers="chapter6/shallow").fit(digits[:9], np.arange(9) % 3)
    with pytest.raises(ArgumentError, match=r"cost is LogLikelihood\(\), of classes"):
        regressor(layers="chapter6/shallow").fit(digits, np.arange(10.0))


def test_rows_can_be_images(classifier: Make) -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(40) % 2
    images = rng.normal(size=(40, 1, 6, 6)) * 0.1
    images[classes == 1, :, :3] += 1
    rows = images.reshape(40, 36)
    layers = [isograd.ConvPool(2, window=3), FullyConnected(4)]
    fitted = classifier(layers=layers, input_shape=(1, 6, 6), epochs=30).fit(rows, classes)
    assert fitted.network_.input_shape == (1, 6, 6)
    assert fitted.score(rows, classes) == 1
    assert fitted.n_features_in_ == 36
    with pytest.raises(ShapeError, match=r"X has examples of shape \[35\]; .* \[1, 6, 6\]"):
        classifier(layers=layers, input_shape=(1, 6, 6)).fit(rows[:, 1:], classes)


def test_the_outputs_of_a_classifier_agree_with_each_other(classifier: Make) -> None:
    X, y = flowers()
    for chosen in (slice(None), y != "tulip"):
        fitted = classifier(epochs=40, eta=0.3).fit(X[chosen], y[chosen])
        scores = fitted.decision_function(X)
        if scores.ndim == 1:
            assert fitted.predict(X).tolist() == fitted.classes_[(scores > 0).astype(int)].tolist()
        else:
            assert fitted.predict(X).tolist() == fitted.classes_[scores.argmax(axis=1)].tolist()
        # An exponential and a sum of as many as there are classes: Higham, section 3.1, in double precision.
        logarithms, probabilities = fitted.predict_log_proba(X), fitted.predict_proba(X)
        np.testing.assert_allclose(
            np.exp(logarithms), probabilities, rtol=2**-53 * (8 + abs(logarithms).max() * 4)
        )
    # Its probability rounds to 0, its logarithm does not.
    far = np.array([[1e6, 0, 0]])
    assert np.isfinite(fitted.predict_log_proba(far)).all()


def test_a_classifier_without_probabilities_says_so(classifier: Make, estimators: Any) -> None:
    class Margin(LogLikelihood):
        probabilities = False

    X, y = flowers()
    fitted = classifier(cost=Margin()).fit(X, y)
    assert fitted.decision_function(X).shape == (30, 3)
    assert not hasattr(fitted, "predict_proba")
    assert not hasattr(fitted, "predict_log_proba")


def test_predictions_have_the_shape_of_y_and_the_dtype_of_the_network(regressor: Make) -> None:
    X, y = values()
    two = np.column_stack([y, y**2])
    assert regressor().fit(X, y).predict(X).shape == (30,)
    assert regressor().fit(X, y[:, np.newaxis]).predict(X).shape == (30, 1)
    fitted = regressor().fit(X, two)
    assert (fitted.predict(X).shape, fitted.n_outputs_) == ((30, 2), 2)
    assert regressor().fit(X.astype(np.float32), y).predict(X).dtype == np.float32
    assert regressor(dtype="float32").fit(X, y).predict(X).dtype == np.float32
    assert regressor(dtype="float64").fit(X.astype(np.float32), y).predict(X).dtype == np.float64


def test_units_of_features_and_targets_do_not_matter_when_standardised(regressor: Make) -> None:
    X, y = values()
    fitted = regressor(epochs=100, eta=0.05).fit(X, y)
    # Powers of two: exact. An offset would round.
    other = regressor(epochs=100, eta=0.05).fit(X * 2.0**30, y * 2.0**-30)
    assert (other.predict(X * 2.0**30) * 2.0**30).tolist() == fitted.predict(X).tolist()
    assert fitted.score(X, y) > 0.9


def test_early_stopping_keeps_the_best_epoch_of_what_was_held_out(classifier: Make) -> None:
    X, y = flowers(60)
    fitted = classifier(epochs=50, eta=0.5, early_stopping=2, validation_fraction=0.2).fit(X, y)
    assert fitted.history_.stopped == "early stopping"
    assert fitted.n_iter_ < 50
    counted = {round(r.validation_accuracy * 12, 9) % 1 for r in fitted.history_.epochs}
    assert counted == {0.0}


def test_data_frames_give_the_names_of_features(classifier: Make, library: Callable[[str], Any]) -> None:
    pandas = library("pandas")
    X, y = flowers()
    frame = pandas.DataFrame(X, columns=["length", "width", "height"])
    fitted = classifier().fit(frame, pandas.Series(y, dtype="category"))
    assert fitted.feature_names_in_.tolist() == ["length", "width", "height"]
    assert fitted.predict(frame).tolist() == classifier().fit(X, y).predict(X).tolist()
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["width", "length", "height"]])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"layers": 3}, ArgumentTypeError, "layers is a int"),
        ({"layers": [FullyConnected]}, ArgumentTypeError, r"layers\[0\] is .*; call the class"),
        ({"cost": Quadratic()}, ArgumentError, r"cost is Quadratic\(\), of values; expected one of classes"),
        ({"cost": LogLikelihood}, ArgumentTypeError, "cost is .*; expected a Cost"),
        ({"dtype": "int32"}, ArgumentTypeError, "dtype is int32"),
        ({"standardize": 1}, ArgumentTypeError, "standardize is 1"),
        ({"epochs": 0}, ArgumentError, "epochs is 0"),
        ({"mini_batch_size": 0}, ArgumentError, "mini_batch_size is 0"),
        ({"random_state": -1}, ArgumentError, "random_state is -1"),
        ({"verbose": 2}, ArgumentTypeError, "verbose is 2"),
        ({"early_stopping": 1, "validation_fraction": 1.0}, ArgumentError, "validation_fraction is 1"),
        ({"callbacks": 3}, ArgumentTypeError, "callbacks is 3"),
    ],
)
def test_a_bad_parameter_is_refused_by_fit_which_leaves_the_network_alone(
    given: dict[str, Any], error: type[Exception], message: str, classifier: Make
) -> None:
    X, y = flowers()
    fitted = classifier().fit(X, y)
    before = arrays_of(fitted)
    with pytest.raises(error, match=message):
        fitted.set_params(**given).fit(X, y)
    assert arrays_of(fitted) == before


def test_output_layers_of_another_width_or_kind_are_refused(classifier: Make, regressor: Make) -> None:
    X, y = flowers()
    assert classifier(layers=[Softmax(3)]).fit(X, y).network_.layers == (Softmax(3),)
    with pytest.raises(ArgumentError, match="one class, 'rose'"):
        classifier().fit(X[:1], y[:1])
    X, y = values()
    linear = FullyConnected(1, "linear")
    assert regressor(layers=[linear]).fit(X, y).network_.layers == (linear,)
    with pytest.raises(ArgumentError, match="y has 2 outputs"):
        regressor(layers=[linear]).fit(X, np.column_stack([y, y]))
    with pytest.raises(ArgumentError, match="which is for classes"):
        regressor(layers=[Softmax(1)]).fit(X, y)


def test_random_states_that_are_no_numbers_draw_the_seed(classifier: Make) -> None:
    X, y = flowers()
    one, same = (classifier(random_state=np.random.RandomState(3)).fit(X, y) for _ in range(2))
    assert one.network_.seed == same.network_.seed
    assert classifier(random_state=None).fit(X, y).network_.seed >= 0
    assert classifier(random_state=np.int64(7)).fit(X, y).network_.seed == 7


@pytest.mark.usefixtures("estimators")
def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"print": lambda *shown: None}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    assert len(blocks) >= 3
