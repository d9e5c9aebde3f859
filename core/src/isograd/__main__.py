"""`python -m isograd` is the command line."""

from __future__ import annotations

from isograd.cli import main

if __name__ == "__main__":
    main()
