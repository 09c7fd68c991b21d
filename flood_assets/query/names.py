"""Match the names that people use, and suggest similar ones for a name that does not exist."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Names that are listed one by one; the others are counted.
LISTED = 5
# Similar names that are suggested for each unknown one.
SIMILAR = 4
# With so few names in all, every one is suggested.
FEW = 20


def match(
    rows: pa.Table, what: str, texts: Sequence[str], ids: Sequence[str], labels: Sequence[str], notes: list[str]
) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows that have one of the texts in one of the columns.

    The columns `ids` must be equal to a text; `labels` are compared without regard to case and runs of blanks, and
    those with several names, joined with `|`, match by each. For each text that matches no row a note is added to
    `notes`, with similar names; `what` is the filter's name there.
    """
    if not texts:
        notes.append(nothing_given(what))
    wanted, folded = set(texts), {_folded(text) for text in texts}
    fits, met = np.zeros(len(rows), np.bool_), set[str]()
    for name in (*ids, *labels):
        # Compare each distinct text once, however many rows have it.
        coded = pa.concat_arrays([pa.array([], pa.string()), *rows[name].chunks]).dictionary_encode()
        given = coded.dictionary.to_pylist()
        spelt = ({text} if name in ids else {_folded(part) for part in (text, *text.split("|"))} for text in given)
        hits = [(wanted if name in ids else folded) & spellings for spellings in spelt]
        met.update(*hits)
        has = np.array([*map(bool, hits), False])
        fits |= has[coded.indices.fill_null(-1).to_numpy()]
    unknown = [text for text in texts if text not in met and _folded(text) not in met]
    if unknown:
        known = [given for name in (*labels, *ids) for given in sorted(rows[name].drop_null().unique().to_pylist())]
        notes.extend(suggestions(what, unknown, known))
    return fits


def suggestions(what: str, unknown: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return a note for each unknown name with known names that are similar; beyond `LISTED` the rest is counted."""
    names = {_folded(name): name for name in known}
    notes = []
    for text in unknown[:LISTED]:
        folded = _folded(text)
        holding = sorted((name for name in names if folded and folded in name), key=len)
        close = difflib.get_close_matches(folded, names, n=SIMILAR)
        similar = [names[name] for name in dict.fromkeys([*close, *holding])][:SIMILAR]
        if not similar and len(names) <= FEW:
            similar = list(names.values())
        hint = f"there is {listed(similar)}" if similar else f"and nothing similar is among {len(names):,} names"
        notes.append(f"no {what} is called '{text}'; {hint}")
    if len(unknown) > LISTED:
        notes.append(f"{len(unknown) - LISTED:,} more names of {what} are unknown")
    return notes


def nothing_given(what: str) -> str:
    """Return the note for a filter that was given no text at all."""
    return f"{what} is an empty list, so nothing matches"


def listed(texts: Sequence[str]) -> str:
    """Return the texts in quotes; beyond `LISTED` they are counted."""
    shown = ", ".join(f"'{text}'" for text in texts[:LISTED])
    return f"{shown} and {len(texts) - LISTED:,} more" if len(texts) > LISTED else shown


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
