"""What both estimators have in common: parameters, data and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from isograd.backend import Backend
from isograd.costs import Cost
from isograd.data import Dataset
from isograd.errors import ArgumentError
from isograd.graph.dtypes import as_dtype
from isograd.layers import InitialiserLike, Layer
from isograd.network import Network
from isograd.sklearn.blueprint import Blueprint
from isograd.training import Callback, EpochRecord, History
from isograd.training.augmentation import Augmentation
from isograd.training.checks import flag, number, whole
from isograd.training.schedules import Eta

FloatArray = npt.NDArray[Any]


class NetworkEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A network, and the arguments of `Network` and `Network.SGD` as parameters.

    They are kept as given and checked by `fit`. `IsogradRegressor` and `IsogradClassifier` describe them.
    """

    _default_cost: ClassVar[Cost]
    # What goes to `Network.SGD` as it is, by the parameter's name.
    _trained_with: ClassVar[tuple[str, ...]] = (
        "eta",
        "lmbda",
        "momentum",
        "nesterov",
        "weight_decay",
        "averaging",
        "shuffle",
        "early_stopping",
        "augmentation",
        "callbacks",
        "backend",
        "gradient",
        "threads",
    )

    def __init__(
        self,
        layers: Sequence[Layer] | str | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        standardize: bool = True,
        epochs: int = 200,
        mini_batch_size: int = 200,
        eta: Eta | str = 0.01,
        lmbda: float = 0.0,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        averaging: float = 0.0,
        shuffle: bool = True,
        early_stopping: int | None = None,
        validation_fraction: float = 0.1,
        augmentation: Augmentation | Sequence[Augmentation] | None = None,
        callbacks: Sequence[Callback | Callable[[EpochRecord], object]] = (),
        init: InitialiserLike | None = None,
        dtype: str | None = None,
        cost: Cost | None = None,
        backend: str | Backend | None = None,
        gradient: str = "symbolic",
        threads: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.layers = layers
        self.input_shape = input_shape
        self.standardize = standardize
        self.epochs = epochs
        self.mini_batch_size = mini_batch_size
        self.eta = eta
        self.lmbda = lmbda
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.augmentation = augmentation
        self.callbacks = callbacks
        self.init = init
        self.dtype = dtype
        self.cost = cost
        self.backend = backend
        self.gradient = gradient
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose

    def _validated(self, X: Any, y: Any, *, reset: bool, **options: Any) -> tuple[FloatArray, Any]:
        """X, (n, n_features), of the dtype to compute in, and y, as scikit-learn checks them.

        With `reset` for a new network; else dtype and features have to be those of `network_`.
        """
        if not reset:
            dtype: Any = self.network_.dtype
        else:
            dtype = (np.float64, np.float32) if self.dtype is None else as_dtype(self.dtype)
        checked: tuple[FloatArray, Any] = validate_data(self, X, y, reset=reset, dtype=dtype, **options)
        return checked

    def _inputs(self, X: Any) -> FloatArray:
        """X to predict, (n, n_features), as the network takes it."""
        check_is_fitted(self)
        checked = validate_data(self, X, dtype=self.network_.dtype, reset=False)
        return scaled(self.scaler_, checked)

    def _blueprint(self) -> Blueprint:
        return Blueprint.of(self.layers, self.input_shape, self.init, self.cost, self._default_cost)

    def _scaler(self, values: FloatArray, weights: FloatArray | None) -> StandardScaler | None:
        """What gives each column, of the examples with these weights, the mean 0 and the variance 1."""
        if not flag("standardize", self.standardize):
            return None
        return StandardScaler().fit(values, sample_weight=weights)

    def _train_anew(
        self,
        blueprint: Blueprint,
        X: FloatArray,
        targets: npt.NDArray[Any],
        weights: FloatArray | None,
        epochs: int,
    ) -> None:
        """Make the network and train it; where that fails, what there was before is still there."""
        seed = self._seed()
        network = blueprint.network(X.shape[1], seed, X.dtype.name)
        scaler = self._scaler(X, weights)
        data = _examples(scaled(scaler, X).reshape(-1, *network.input_shape), targets, weights)
        validation = None
        if self.early_stopping is not None:
            data, validation = self._split(data, seed)
        history = self._run(network, data, epochs, validation)
        self.network_, self.scaler_ = network, scaler
        self._finish(history)

    def _train_on(self, X: FloatArray, targets: npt.NDArray[Any], weights: FloatArray | None) -> None:
        """One epoch more, on these examples: the run that there is goes on, with its velocities."""
        network = self.network_
        before = network.training
        if before is None:
            raise ArgumentError("network_ has no run to go on with; fit makes a new one")
        data = _examples(scaled(self.scaler_, X).reshape(-1, *network.input_shape), targets, weights)
        data = data.in_precision(network.dtype)
        others = {"training_data": data.fingerprint(), "mini_batch_size": self._mini_batch_size(data)}
        network.training = replace(
            before, step=0, cost_sum=0.0, seconds=0.0, agreement={**before.agreement, **others}
        )
        try:
            history = self._run(network, data, before.epoch + 1, None, resume=True)
        except BaseException:
            network.training = before
            raise
        self._finish(history)

    def _check_partial(self) -> None:
        if self.early_stopping is not None:
            raise ArgumentError(
                f"early_stopping is {self.early_stopping!r}; partial_fit holds no data out, expected None"
            )

    def _run(
        self,
        network: Network,
        data: Dataset,
        epochs: int,
        validation: Dataset | None,
        *,
        resume: bool = False,
    ) -> History:
        return network.SGD(
            data,
            epochs,
            self._mini_batch_size(data),
            validation_data=validation,
            progress=flag("verbose", self.verbose),
            resume=resume,
            **{name: getattr(self, name) for name in self._trained_with},
        )

    def _mini_batch_size(self, data: Dataset) -> int:
        return min(whole("mini_batch_size", self.mini_batch_size, 1), len(data))

    def _split(self, data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
        """Training and validation data; of classes, as many of each."""
        fraction = number("validation_fraction", self.validation_fraction, above=0, below=1)
        training, validation = train_test_split(
            np.arange(len(data)),
            test_size=fraction,
            random_state=seed % 2**32,
            stratify=data.labels if data.has_classes else None,
        )
        return data.take(training), data.take(validation)

    def _seed(self) -> int:
        """`random_state` itself, if it is a number; else a number drawn from it."""
        if isinstance(self.random_state, Integral):
            return whole("random_state", self.random_state, 0)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _finish(self, history: History) -> None:
        self.history_ = history
        self.n_iter_ = len(history.epochs)
        (self.n_outputs_,) = self.network_.output_shape


def checked_weights(sample_weight: Any, X: FloatArray) -> FloatArray | None:
    """One weight an example, (n,), of X's dtype, none below 0; or None."""
    if sample_weight is None:
        return None
    checked: FloatArray = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
    return checked


def scaled(scaler: StandardScaler | None, values: FloatArray) -> FloatArray:
    """The values by `scaler`, of the same dtype; without one, as they are."""
    if scaler is None:
        return values
    changed: FloatArray = scaler.transform(values)
    return changed


def _examples(inputs: FloatArray, targets: npt.NDArray[Any], weights: FloatArray | None) -> Dataset:
    """A data set of the examples that have a weight; the mean weight is 1.

    So an example of weight k is one that is there k times, in whatever the mean over a batch of all is.
    """
    if weights is None:
        return Dataset(inputs, targets)
    kept = weights > 0
    if not kept.any():
        raise ArgumentError("sample_weight and class_weight leave a weight of zero to every example")
    weights = weights[kept]
    return Dataset(inputs[kept], targets[kept], weights=weights / weights.mean(dtype=np.float64))
