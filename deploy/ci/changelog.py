"""Print the notes of a release: `python -m deploy.ci.changelog v0.1.0`, or `Unreleased`.

Exits with 1 if the tag is not the version of the package, or if CHANGELOG.md has nothing to say about it.
"""

import re
import sys
from pathlib import Path

import flood_assets

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
_KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def notes(text: str, version: str) -> str:
    """Return what a changelog says about a version.

    Raises:
        ValueError: it says nothing, or under a heading that Keep a Changelog does not know.
    """
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = [body for heading, _, body in (each.partition("\n") for each in sections) if _version(heading) == version]
    if len(found) != 1 or not found[0].strip():
        raise ValueError(
            f"CHANGELOG.md has {len(found)} sections on {version}: write one, '## [{version}] - YYYY-MM-DD'"
        )
    if unknown := set(re.findall(r"^### (.+)$", found[0], re.MULTILINE)) - {*_KINDS}:
        raise ValueError(f"CHANGELOG.md has '{min(unknown)}' below {version}: expected one of {', '.join(_KINDS)}")
    return found[0].strip()


def _version(heading: str) -> str:
    match = re.fullmatch(r"\[(Unreleased|\d+\.\d+\.\d+)\](?: - \d{4}-\d{2}-\d{2})?", heading.strip())
    if match is None:
        raise ValueError(f"CHANGELOG.md has the heading '{heading}': expected '[1.2.3] - YYYY-MM-DD' or '[Unreleased]'")
    return match[1]


def main(tag: str) -> int:
    """Print the notes of a tag; return the exit code."""
    version = tag.removeprefix("v")
    if version not in ("Unreleased", flood_assets.__version__):
        print(
            f"the tag {tag} is not the version {flood_assets.__version__} of flood_assets/__init__.py", file=sys.stderr
        )
        return 1
    try:
        print(notes(CHANGELOG.read_text(encoding="utf-8"), version))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
