"""The tests: `pytest --pyargs isograd_conformance --backend NAME`."""
