"""What MkDocs calls while it builds the site: generated pages, tables in pages, and links.

A page gets what the code says of itself by a line of its own, `<!-- generated: NAME -->`, with a NAME of
`TABLES`. Documents from elsewhere in the repository are shown at the places that `DOCUMENTS` has.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import commands
import language
import links
import markup
import reference
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    "primitives": language.primitives,
    "conventions": language.conventions,
    "derived": language.derived_functions,
    "commands": commands.reference,
    "run_file": commands.run_file_example,
    "hooks": reference.hooks,
}
DOCUMENTS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "conformance/README.md": "conformance.md",
    "core/README.md": "packages/core.md",
    "datasets/mnist/README.md": "packages/mnist.md",
    **{
        path.relative_to(ROOT).as_posix(): f"packages/{path.parent.name}.md"
        for path in sorted((*ROOT.glob("backends/*/README.md"), *ROOT.glob("examples/*/README.md")))
    },
    # The page that `isograd reproduce` wrote is results/NAME.html already.
    **{
        path.relative_to(ROOT).as_posix(): f"results/{path.stem}-tables.md"
        for path in sorted(ROOT.glob("docs/results/*.md"))
    },
}
_MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_config(config: Any) -> Any:
    """The reference's pages take the place of its folder in the navigation."""
    try:
        pages = [{Path(path).stem: path} for path in reference.pages()]
    except LookupError as error:
        raise PluginError(str(error)) from error

    def filled(entry: Any) -> Any:
        if isinstance(entry, list):
            return [filled(one) for one in entry]
        if isinstance(entry, dict):
            return {title: filled(content) for title, content in entry.items()}
        return pages if entry == f"{reference.FOLDER}/" else entry

    config.nav = filled(config.nav)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the reference's pages and the documents from outside of docs."""
    texts = reference.pages()
    texts |= {path: (ROOT / document).read_text(encoding="utf-8") for document, path in DOCUMENTS.items()}
    for path, text in texts.items():
        files.append(File.generated(config, path, content=text, inclusion=InclusionLevel.INCLUDED))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put tables in, and translate links."""
    places = {f"docs/{file.src_uri}": file.src_uri for file in files} | DOCUMENTS
    modules = reference.modules().items()
    places |= {reference.source(module): f"{reference.FOLDER}/{name}.md" for name, module in modules}
    shown = page.file.src_uri
    written = next((document for document, path in DOCUMENTS.items() if path == shown), f"docs/{shown}")
    try:
        text = links.translated(markdown, written, shown, places, reference.objects())
        return markup.with_pipes(_MARKER.sub(lambda marker: TABLES[marker[1]](), text))
    except LookupError as error:
        raise PluginError(f"{written}: {error}") from error
