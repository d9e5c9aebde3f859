"""The command line `isograd`.

`app` holds the group of commands; each command is a module of its own, imported when it is invoked.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line on this process's arguments, and exit."""
    from isograd.cli.app import app

    app()
