"""The primitives in exact arithmetic: what core's reference evaluation is held to.

Every primitive is written out once more, index by index, as its documentation defines it. Sums and products
are exact; functions are mpmath's, at a precision beside which no floating-point error counts. It is far too
slow for anything but a few elements.
"""

from isograd_conformance.exact.evaluation import derivative, evaluate, far
from isograd_conformance.exact.numbers import MP, Exact, number

__all__ = ["MP", "Exact", "derivative", "evaluate", "far", "number"]
