"""A network that predicts classes, as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from isograd import evaluation
from isograd.backend import Backend
from isograd.backend_choice import choose_backend
from isograd.costs import Cost, LogLikelihood
from isograd.errors import ArgumentError
from isograd.layers import InitialiserLike, Layer
from isograd.sklearn.base import FloatArray, NetworkEstimator, checked_weights
from isograd.training import Callback, EpochRecord
from isograd.training.augmentation import Augmentation
from isograd.training.schedules import Eta

ClassWeight = Mapping[Any, float] | str


def _gives_probabilities(classifier: IsogradClassifier) -> bool:
    cost = classifier.network_.architecture.cost if hasattr(classifier, "network_") else classifier.cost
    return cost is None or bool(getattr(cost, "probabilities", True))


class IsogradClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A network for two classes or more, trained by mini-batch stochastic gradient descent.

    Parameters
    ----------
    layers : list of Layer, str or path, optional
        The network. A `Softmax` of as many units as y has classes is added, unless the list ends in one. A
        text names a run file or a preset, as in `IsogradRegressor`. None is one hidden layer of 100 rectified
        linear units.
    label_smoothing : float
        As of `Network.SGD`.
    class_weight : dict of class to float, or "balanced", optional
        What the weight of an example is multiplied by, 1 for a class that is left out; "balanced": n /
        (number of classes * examples of the class).
    cost : Cost, optional
        One of classes; None: `LogLikelihood`.
    input_shape, standardize, epochs, mini_batch_size, eta, lmbda, momentum, nesterov, weight_decay,
    averaging, shuffle, early_stopping, validation_fraction, augmentation, callbacks, init, dtype, backend,
    gradient, threads, random_state, verbose
        As of `IsogradRegressor`. What is held out for `early_stopping` has each class in proportion.

    Attributes
    ----------
    network_ : Network
        Its inputs are standardised, its classes are the positions in `classes_`.
    classes_ : ndarray (n_classes,)
        Sorted.
    scaler_, history_, n_iter_, n_features_in_, feature_names_in_, n_outputs_
        As of `IsogradRegressor`.

    Raises
    ------
    As `IsogradRegressor`.
    """

    _default_cost: ClassVar[Cost] = LogLikelihood()
    _trained_with: ClassVar[tuple[str, ...]] = (*NetworkEstimator._trained_with, "label_smoothing")

    def __init__(
        self,
        layers: Sequence[Layer] | str | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        standardize: bool = True,
        epochs: int = 200,
        mini_batch_size: int = 200,
        eta: Eta | str = 0.1,
        lmbda: float = 0.0,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        averaging: float = 0.0,
        shuffle: bool = True,
        early_stopping: int | None = None,
        validation_fraction: float = 0.1,
        class_weight: ClassWeight | None = None,
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
        super().__init__(
            layers,
            input_shape=input_shape,
            standardize=standardize,
            epochs=epochs,
            mini_batch_size=mini_batch_size,
            eta=eta,
            lmbda=lmbda,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            averaging=averaging,
            shuffle=shuffle,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            augmentation=augmentation,
            callbacks=callbacks,
            init=init,
            dtype=dtype,
            cost=cost,
            backend=backend,
            gradient=gradient,
            threads=threads,
            random_state=random_state,
            verbose=verbose,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array-like (n, n_features)
        y : array-like (n,)
            The class of each example: numbers, texts or anything else that sorts.
        sample_weight : array-like (n,), optional
            None below 0. Weights of another mean are the same; an example of weight 0 is left out.
        """
        X, y, weights = self._checked(X, y, sample_weight, reset=True)
        self._begin(LabelEncoder().fit(y), X, y, weights, self.epochs)
        return self

    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these data: a new network, or the one that there is, whose run goes on.

        n calls with the same data are `fit` with n epochs, to the last bit. Parameters are as of `fit`, and
        may not change after the first call, except `mini_batch_size` and `class_weight`.

        Parameters
        ----------
        classes : array-like (n_classes,)
            All that will ever come; in further calls it may be left out.
        """
        self._check_partial()
        if self.class_weight == "balanced":
            raise ArgumentError(
                "class_weight is 'balanced', which partial_fit can not know; expected a dict or None"
            )
        first = not hasattr(self, "network_")
        if first and classes is None:
            raise ArgumentError("classes is None; the first call of partial_fit needs all classes")
        encoder = LabelEncoder().fit(self.classes_ if classes is None else classes)
        if not first and not np.array_equal(encoder.classes_, self.classes_):
            raise ArgumentError(f"classes is {classes!r}; the first call had {self.classes_!r}")
        X, y, weights = self._checked(X, y, sample_weight, reset=first)
        if first:
            self._begin(encoder, X, y, weights, 1)
        else:
            codes = _codes(encoder, y)
            self._train_on(X, codes, self._weighted(encoder, y, codes, weights))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The class of each row, one of `classes_`: (n,)."""
        inputs = self._inputs(X)
        predicted: npt.NDArray[Any] = self.classes_[self.network_.predict(inputs, backend=self.backend)]
        return predicted

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """The probability of each class, in the order of `classes_`: (n, n_classes), of the network's dtype.

        It is there if the cost gives probabilities.
        """
        inputs = self._inputs(X)
        return self.network_.predict_proba(inputs, backend=self.backend)

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: npt.ArrayLike) -> FloatArray:
        """The logarithms of `predict_proba`."""
        outputs = self._outputs(X)
        logarithms: FloatArray
        if isinstance(self.network_.architecture.cost, LogLikelihood):
            # Of a probability that rounds to 0 too.
            logarithms = log_softmax(outputs, axis=1)
            return logarithms
        with np.errstate(divide="ignore"):
            logarithms = np.log(self.predict_proba(X))
        return logarithms

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """The network's outputs, (n, n_classes), of which `predict` takes the largest.

        Of two classes: (n,), the second's minus the first's; above 0 is the second class. These are
        logarithms of probabilities up to a constant of each row.
        """
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs

    def _outputs(self, X: Any) -> FloatArray:
        inputs, network = self._inputs(X), self.network_
        choice = choose_backend(self.backend)
        data = evaluation.as_examples(network.architecture, inputs)
        state = evaluation.on_device(network.checked_arrays(), choice)
        return evaluation.predict(network.architecture, data, choice, state, ("outputs",))["outputs"]

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[FloatArray, npt.NDArray[Any], FloatArray | None]:
        X, y = self._validated(X, y, reset=reset)
        check_classification_targets(y)
        return X, y, checked_weights(sample_weight, X)

    def _begin(
        self,
        encoder: LabelEncoder,
        X: FloatArray,
        y: npt.NDArray[Any],
        weights: FloatArray | None,
        epochs: int,
    ) -> None:
        classes = encoder.classes_
        if len(classes) < 2:
            raise ArgumentError(f"y has one class, {classes.tolist()[0]!r}; expected at least two")
        blueprint = self._blueprint()
        blueprint.check_cost("classes")
        codes = _codes(encoder, y)
        weights = self._weighted(encoder, y, codes, weights)
        self._train_anew(blueprint.with_softmax(len(classes)), X, codes, weights, epochs)
        self.classes_ = classes

    def _weighted(
        self,
        encoder: LabelEncoder,
        y: npt.NDArray[Any],
        codes: npt.NDArray[Any],
        weights: FloatArray | None,
    ) -> FloatArray | None:
        """The weights of the examples times those of their classes."""
        if self.class_weight is None:
            return weights
        of_classes: FloatArray = compute_class_weight(
            self.class_weight, classes=encoder.classes_, y=y, sample_weight=weights
        )
        of_examples: FloatArray = of_classes[codes]
        return of_examples if weights is None else weights * of_examples


def _codes(encoder: LabelEncoder, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The position of each label in the encoder's classes.

    Raises
    ------
    ArgumentError
        If a label is none of them. The encoder itself takes a text for the class that it begins with, where
        that is the longest.
    """
    classes = encoder.classes_.tolist()
    unknown = set(y.tolist()) - set(classes)
    if unknown:
        raise ArgumentError(f"y has the class {next(iter(unknown))!r}; expected one of {classes}")
    codes: npt.NDArray[Any] = encoder.transform(y)
    return codes
