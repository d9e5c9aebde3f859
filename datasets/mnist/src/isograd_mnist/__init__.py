"""The MNIST database of handwritten digits (LeCun, Cortes, Burges; CC BY-SA 3.0) for isograd.

Use it through ``isograd.data.load_dataset("mnist")``, or call `isograd_mnist.digits.load`.
"""
