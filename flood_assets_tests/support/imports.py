"""The imports of a package, read from its source: every one counts, in functions and under TYPE_CHECKING too."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Import:
    """One import: the file that has it, and what it names.

    Attributes:
        source: dotted name of the file that imports.
        target: dotted name of the file that is imported; of another package, the name as it is written.
        line: where.
    """

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def files_of(package: Path) -> dict[str, Path]:
    """Return the files of a package by their dotted names; a folder's `__init__.py` has the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(package: Path) -> list[Import]:
    """Return every import of every file of a package, in order."""
    files = files_of(package)
    found = set()
    for source, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _named(node, source, is_folder=path.name == "__init__.py"):
                found.add(Import(source, _file(name, files), node.lineno))
    return sorted(found)


def _named(node: ast.AST, source: str, *, is_folder: bool) -> Iterator[str]:
    """Yield the dotted names that a node imports, each as far as it is written."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = source.split(".")[: None if is_folder and node.level == 1 else (is_folder - node.level)]
            base = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _file(name: str, files: Mapping[str, Path]) -> str:
    """Return the file that a dotted name is, or is in; the name as it is written when there is none."""
    within = name.rpartition(".")[0]
    return name if name in files or within not in files else within


def circles(imports: Iterable[Import]) -> list[list[str]]:
    """Return the groups of files that import each other, directly or through others."""
    graph: dict[str, set[str]] = {}
    for each in imports:
        graph.setdefault(each.source, set()).add(each.target)
    reached = {file: _reached(graph, file) for file in graph}
    inside = [file for file in graph if file in reached[file]]
    groups = {tuple(sorted(o for o in inside if o in reached[file] and file in reached[o])) for file in inside}
    return sorted(list(group) for group in groups)


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return the files that are imported from one, directly or through others."""
    found: set[str] = set()
    left = [start]
    while left:
        new = graph.get(left.pop(), set()) - found
        found |= new
        left += new
    return found


# Reading one of these, or calling one, at import makes a program depend on when and where it was started.
ENVIRONMENT = ("os.environ", "os.environb")
CALLS = (
    "os.getenv", "os.getcwd", "pathlib.Path.cwd", "pathlib.Path.home", "socket", "requests", "urllib.request",
    "http.client", "boto3", "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter",
    "time.perf_counter_ns", "time.localtime", "time.gmtime", "datetime.datetime.now", "datetime.datetime.utcnow",
    "datetime.datetime.today", "datetime.date.today", "flood_assets.settings.now", "flood_assets.settings.api_url",
    "flood_assets.settings.lake_url",
)  # fmt: skip


def reads_at_import(source: str) -> list[str]:
    """Return what a file's source reads of the clock, the environment or the network when it is imported.

    Bodies of functions and lambdas do not run at import; decorators, default arguments and class bodies do.
    """
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found = []
    for node in _run_at_import(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if called is not None and _is_one(_dotted(called, names), CALLS):
            found.append(f"line {node.lineno}: {_dotted(called, names)}()")
        elif isinstance(node, ast.Attribute | ast.Name) and _dotted(node, names) in ENVIRONMENT:
            found.append(f"line {node.lineno}: {_dotted(node, names)}")
    return found


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are evaluated when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__main__" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = child.args
            outside = [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]
            outside += getattr(child, "decorator_list", [])
            for each in outside:
                yield each
                yield from _run_at_import(each)
            continue
        yield child
        yield from _run_at_import(child)


def _dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """Return the full name of `a.b.c`, with `a` as it was imported; empty for any other expression."""
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def _is_one(name: str, wanted: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in wanted)
