"""The conformance suite: one set of tests that every backend of isograd passes, with derived tolerances.

    pytest --pyargs isograd_conformance --backend mine

Importing this package imports neither Hypothesis nor any framework: pytest does so in every run, for its
plugin.
"""

__version__ = "0.1.0"
