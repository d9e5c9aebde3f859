"""The report of a run of the suite: a matrix of what was judged, for the terminal, as JSON and as a page."""
