"""Public docstrings say what a thing does, in the field's words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import flood_assets

PACKAGE = Path(flood_assets.__file__).parent

# A docstring that opens with one of these is a noun clause and not a statement; ruff's D401 asks for the rest.
RIDDLES = {"What", "Whether", "How", "Of", "Where", "That", "Which", "Who"}

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def riddles(source: str) -> Iterator[str]:
    """Yield the first line of each public docstring that opens with a riddle."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and not getattr(node, "name", "").startswith("_"):
            first, *_ = (ast.get_docstring(node) or "-").splitlines()
            if first.split()[0].strip(".,:;") in RIDDLES:
                yield first


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_public_docstring_opens_with_a_riddle(path):
    assert list(riddles(path.read_text())) == []


def test_a_riddle_is_found_wherever_it_stands():
    source = '''"""What it is."""
class Gauge:
    """Whether it is there."""
    @property
    def level(self):
        """How high it stands."""
    async def read(self):
        """Of all, the newest."""
    def _private(self):
        """Where it is."""
    def plain(self):
        """Return the newest."""
'''
    assert list(riddles(source)) == [
        "What it is.", "Whether it is there.", "How high it stands.", "Of all, the newest."
    ]  # fmt: skip
