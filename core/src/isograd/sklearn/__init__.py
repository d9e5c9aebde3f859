"""isograd networks as scikit-learn estimators; they need scikit-learn (isograd[sklearn]).

from isograd.sklearn import IsogradClassifier

classifier = IsogradClassifier(epochs=50, random_state=0).fit(X, y)
classifier.predict(X)
"""

from __future__ import annotations

from isograd.errors import UnsupportedError

try:
    import sklearn  # noqa: F401 (whether it is there)
except ModuleNotFoundError as error:
    raise UnsupportedError(
        'isograd.sklearn needs scikit-learn, which is not installed: pip install "isograd[sklearn]"'
    ) from error

from isograd.sklearn.classifier import IsogradClassifier
from isograd.sklearn.regressor import IsogradRegressor

__all__ = ["IsogradClassifier", "IsogradRegressor"]
