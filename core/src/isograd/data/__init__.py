"""Data sets: made of arrays, loaded by name, or read from IDX, ``.npz`` and the book's ``mnist.pkl.gz``."""

from __future__ import annotations

from isograd.data.dataset import Dataset, as_dataset
from isograd.data.expanded import expanded
from isograd.data.idx import read_idx, read_idx_folder, read_idx_pair
from isograd.data.loading import load_dataset
from isograd.data.mnist_pickle import read_mnist_pickle
from isograd.data.npz import read_npz
from isograd.data.splits import DatasetSplits

__all__ = [
    "Dataset",
    "DatasetSplits",
    "as_dataset",
    "expanded",
    "load_dataset",
    "read_idx",
    "read_idx_folder",
    "read_idx_pair",
    "read_mnist_pickle",
    "read_npz",
]
