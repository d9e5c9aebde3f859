"""Links of pages, written for a reader of the repository, as the site needs them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")


def translated(
    markdown: str,
    written_in: str,
    shown_in: str,
    places: Mapping[str, str],
    objects: Mapping[tuple[str, str], str],
) -> str:
    """A page's text with its relative links as the site has them.

    A link to what the site has none of becomes text: the label, and the path in the repository.

    Parameters
    ----------
    markdown : str
    written_in : str
        The file that has the text, seen from the repository's root.
    shown_in : str
        The page, seen from the site's sources.
    places : mapping of str to str
        From a file of the repository to its page or file in the site's sources.
    objects : mapping of (str, str) to str
        From a source file and a name that is defined in it to the name by which the site describes it.

    Raises
    ------
    LookupError
        If a link leads to no file or folder.
    """

    def link(found: re.Match[str]) -> str:
        image, label, target = found.groups()
        path, mark, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:") or not path:
            return found[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(written_in), path))
        if not (ROOT / there).exists():
            raise LookupError(f"{written_in} links to {target}, which is not there")
        bare = label.replace("`", "")
        if (there, bare) in objects:
            return f"[{label}][{objects[there, bare]}]"
        for candidate in (there, f"{there}/README.md"):
            if candidate in places:
                place = posixpath.relpath(places[candidate], posixpath.dirname(shown_in) or ".")
                return f"{image}[{label}]({place}{mark}{anchor})"
        return f"`{there}`" if bare and bare.rstrip("/") in there else f"{label} (`{there}`)"

    pieces, end = [], 0
    for fence in _FENCE.finditer(markdown):
        pieces += [_LINK.sub(link, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(link, markdown[end:])])
