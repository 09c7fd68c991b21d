"""Find the examples of the pages, the docstrings and the demo, as a reader sees them, for the test that runs them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flood_assets import notebook, query
from flood_assets.query.filters import FILTERS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Example(NamedTuple):
    """An example and where it stands."""

    place: str
    text: str


def fenced(language: str) -> list[Example]:
    """Return the blocks of code in one language."""
    block = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Example(f"{page.name}-{number}", code)
        for page in PAGES
        for number, code in enumerate(block.findall(_text(page)), 1)
    ]


def python() -> list[Example]:
    """Return the Python of the pages: blocks, and calls and filters within a line; and of the docstrings."""
    found = fenced("python")
    for module in (notebook, query):
        indented = re.findall(r"(?:^    .*\n)+", inspect.getdoc(module) or "", re.MULTILINE)
        found += [Example(module.__name__, textwrap.dedent(code)) for code in indented]
    for page in PAGES:
        inline = re.findall(r"`(load_\w+\(.*?\))`", _text(page))
        found += [Example(f"{page.name}: {code}", f"from flood_assets.notebook import *\n{code}") for code in inline]
    return found


def filters() -> list[tuple[str, str]]:
    """Return the values that pages and docstrings name for a filter of the gauges, each with the filter."""
    found = [pair for page in PAGES for pair in re.findall(r'`(\w+)="([^"]+)"`', _text(page))]
    found += re.findall(r'(\w+): [^\n]*such as "([^"]+)"', query.readings.__doc__ or "")
    return [(name, value) for name, value in found if name in FILTERS]


def shown() -> list[Example]:
    """Return the names that pages give to `flood-assets show`."""
    return [
        Example(page.name, quoted or plain)
        for page in PAGES
        for quoted, plain in re.findall(r'flood-assets show (?:"(.+?)"|([\w-]+))', _text(page))
        if plain != "NAME"
    ]


def urls(below: str) -> list[str]:
    """Return what the pages ask of the served lake below a path: paths and queries."""
    found = [url for page in PAGES for url in re.findall(r"http://127\.0\.0\.1:8000(/[^\s\"`]+)", _text(page))]
    return [url for url in found if url.startswith(below)]


def values(code: str, known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Run code as a notebook does, and return each expression that stands alone with its value."""
    for statement in ast.parse(code).body:
        source = ast.unparse(statement)
        if isinstance(statement, ast.Expr):
            yield source, eval(source, known)
        else:
            exec(source, known)


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")
