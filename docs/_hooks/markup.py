"""Markdown out of plain text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"[\\*_\[\]#]")
_PIPED = re.compile(r"`([^`]*\\\|[^`]*)`")


def escaped(text: str) -> str:
    """Text in which nothing is markup, but for `code` in backticks."""
    pieces = re.split(r"(`+.+?`+)", text)
    plain = (_SPECIAL.sub(r"\\\g<0>", piece.replace("<", "&lt;")) for piece in pieces[::2])
    codes = [*pieces[1::2], ""]
    return "".join(text for pair in zip(plain, codes, strict=True) for text in pair)


def code(*names: str) -> str:
    """Names as code, with commas between them."""
    return ", ".join(f"`{name}`" for name in names)


def with_pipes(markdown: str) -> str:
    """Markdown in whose tables `\\|` within code is shown as a pipe, as other renderers have it."""

    def shown(found: re.Match[str]) -> str:
        text = html.escape(found[1]).replace("\\|", "&#124;")
        return f"<code>{text}</code>"

    lines = markdown.split("\n")
    return "\n".join(_PIPED.sub(shown, line) if line.startswith("|") else line for line in lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown of one paragraph each."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)
