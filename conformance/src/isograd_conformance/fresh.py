"""A short training run in a process of its own: `python -m isograd_conformance.fresh NAME[:DEVICE]`.

Prints the SHA-256 of the costs, the trained parameters and the layers' state, so that two processes can be
compared.
"""

from __future__ import annotations

import hashlib
import sys

from isograd import Network
from isograd_conformance.strategies.networks import every_kind_of_layer, toy_digits
from isograd_conformance.subject import Subject


def fingerprint(subject: Subject) -> str:
    """What the run gives, as a hexadecimal number."""
    net = Network(every_kind_of_layer(), (1, 12, 12), seed=1, dtype=subject.floating[0])
    history = net.SGD(toy_digits(), 2, 5, 0.1, lmbda=0.1, momentum=0.5, backend=subject.specification)
    digest = hashlib.sha256(repr([record.cost for record in history.epochs]).encode())
    for path, array in sorted(net.checked_arrays().items()):
        digest.update(path.encode() + array.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print(fingerprint(Subject.choose(sys.argv[1])))
