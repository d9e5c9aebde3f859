"""A network that predicts values, as a scikit-learn regressor."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array

from isograd.costs import Cost, Quadratic
from isograd.errors import ShapeError
from isograd.sklearn.base import FloatArray, NetworkEstimator, checked_weights, scaled


class IsogradRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A network for one value or several, trained by mini-batch stochastic gradient descent.

    Parameters
    ----------
    layers : list of Layer, str or path, optional
        The network. A linear output layer of as many units as y has columns is added, unless the list ends
        in a linear `FullyConnected`. A text names a run file or a preset: layers, input_shape, init and cost
        are then, where the parameter is None, those of its table `network`. None is one hidden layer of 100
        rectified linear units.
    input_shape : sequence of int, optional
        As which the network sees a row of X, such as (1, 28, 28) of 784 features. None: (n_features,).
    standardize : bool
        Whether each feature is brought to mean 0 and variance 1, with the means and variances of the data of
        `fit`, or of the first `partial_fit`; and each column of y, where the cost is `Quadratic`.
    epochs, eta, lmbda, momentum, nesterov, weight_decay, averaging, shuffle, augmentation, callbacks,
    backend, gradient, threads
        As of `Network.SGD`.
    mini_batch_size : int
        As of `Network.SGD`; if there are fewer examples, their number.
    early_stopping : int, optional
        As of `Network.SGD`, on a part of the data that is held out of training.
    validation_fraction : float
        The size of that part, in (0, 1).
    init : str, Initialiser or callable, optional
        As of `Network`; None: "he".
    dtype : "float32" or "float64", optional
        What is computed in; None: float32 for X of float32, else float64.
    cost : Cost, optional
        One of values; None: `Quadratic`.
    random_state : int, RandomState or None
        An int is the network's seed; another one draws it.
    verbose : bool
        Show a progress bar.

    Attributes
    ----------
    network_ : Network
        Its inputs, and with `target_scaler_` its outputs, are standardised.
    scaler_, target_scaler_ : StandardScaler or None
    history_ : History
    n_iter_ : int
        How many epochs it has.
    n_features_in_ : int
    feature_names_in_ : ndarray
        Where X has names, as a data frame.
    n_outputs_ : int

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError, and what scikit-learn raises for X and y
        By `fit`, if a parameter or the data are not as described.
    NonFiniteError
        By `fit`, if training diverges.
    """

    _default_cost: ClassVar[Cost] = Quadratic()

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array-like (n, n_features)
        y : array-like (n,) or (n, n_outputs)
            Predictions have the same number of axes.
        sample_weight : array-like (n,), optional
            None below 0. Weights of another mean are the same; an example of weight 0 is left out.
        """
        self._begin(*self._checked(X, y, sample_weight, reset=True), self.epochs)
        return self

    def partial_fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Train for one epoch on these data: a new network, or the one that there is, whose run goes on.

        n calls with the same data are `fit` with n epochs, to the last bit. Parameters are as of `fit`, and
        may not change after the first call, except `mini_batch_size`.
        """
        self._check_partial()
        first = not hasattr(self, "network_")
        X, y, weights = self._checked(X, y, sample_weight, reset=first)
        if first:
            self._begin(X, y, weights, 1)
            return self
        targets = _columns(y)
        if targets.shape[1] != self.n_outputs_:
            raise ShapeError(f"y has the shape {y.shape}; expected {self.n_outputs_} outputs, as at first")
        self._train_on(X, scaled(self.target_scaler_, targets), weights)
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """The values of each row: (n,) or (n, n_outputs), as y of `fit`, of the network's dtype."""
        inputs = self._inputs(X)
        values = self.network_.predict(inputs, backend=self.backend)
        if self.target_scaler_ is not None:
            values = self.target_scaler_.inverse_transform(values)
        return values[:, 0] if self._flat else values

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        X, y = self._validated(X, y, reset=reset, multi_output=True, y_numeric=True)
        y = check_array(y, dtype=X.dtype, ensure_2d=False, input_name="y")
        return X, y, checked_weights(sample_weight, X)

    def _begin(self, X: FloatArray, y: FloatArray, weights: FloatArray | None, epochs: int) -> None:
        targets = _columns(y)
        blueprint = self._blueprint()
        blueprint.check_cost("values")
        blueprint = blueprint.with_linear_output(targets.shape[1])
        scaler = self._scaler(targets, weights) if isinstance(blueprint.cost, Quadratic) else None
        self._train_anew(blueprint, X, scaled(scaler, targets), weights, epochs)
        self.target_scaler_ = scaler
        self._flat = y.ndim == 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _columns(y: FloatArray) -> npt.NDArray[np.floating[Any]]:
    return y.reshape(len(y), -1)
