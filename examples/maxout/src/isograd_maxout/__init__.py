"""A layer and a cost of one's own, which files name and every backend runs.

This module imports neither: `isograd --help` imports it on its way to `plugin`, and is to stay quick.
"""
