"""Match the names that people use, and suggest similar ones for a name that does not exist."""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Names that are listed one by one; the others are counted.
LISTED = 5
# Similar names that are suggested for each unknown one.
SIMILAR = 4
# With so few names in all, every one is suggested.
FEW = 20

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """The columns in which a name is looked for.

    Attributes:
        ids: must be equal to the name.
        labels: are compared without regard to case and runs of blanks.
        others: ids of other systems, perhaps of several rows, that must be equal to a name that is no id and no label.
    """

    ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.ids, *self.labels, *self.others)


def match(
    rows: pa.Table, what: str, texts: Sequence[str], columns: Columns, notes: list[str], matched: list[str]
) -> Mask:
    """Return a mask of the rows that have one of the texts. A cell of several names, joined with `|`, has each.

    A text is looked for among ids and labels; if no row has it, among the other ids; and if none has it there, by its
    words: labels match that have them all.

    Args:
        rows: a snapshot.
        what: the filter's name in notes.
        texts: those that are asked for.
        columns: where they are looked for.
        notes: gets a note for each text that matches no row, with similar names.
        matched: gets one for each text that was matched by its words, or that is another id of further rows.
    """
    if not texts:
        notes.append(nothing_given(what))
    labels = [_Coded.of(rows[name]) for name in columns.labels]
    fits, named = _with_ids(rows, columns.ids, {*texts})
    if columns.others and named:
        matched.extend(_another_id(rows, what, named, columns, fits))
    more, met = _with_label(labels, texts)
    fits, named = fits | more, named | met
    more, met = _with_ids(rows, columns.others, {*texts} - named)
    fits, named = fits | more, named | met
    by_words = _by_words(labels, [text for text in texts if text not in named])
    chosen = {name for found in by_words.values() for name in found}
    for label in labels if chosen else ():
        fits |= label.rows(not chosen.isdisjoint(_parts(text)) for text in label.texts)
    told = [
        f"no {what} is called '{text}'; by its words it matches {listed(found)}" for text, found in by_words.items()
    ]
    matched.extend(_first(told, f"names of {what} are matched by their words"))
    if unknown := [text for text in texts if text not in named and text not in by_words]:
        known = [
            each
            for name in (*columns.labels, *columns.ids)
            for each in sorted({part for text in rows[name].unique().to_pylist() if text for part in text.split("|")})
        ]
        notes.extend(suggestions(what, unknown, known))
    return fits


class _Coded(NamedTuple):
    """The distinct texts of a column, so that each is compared once however many rows have it, and the rows' codes."""

    texts: list[str]
    codes: npt.NDArray[np.int32]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "_Coded":
        coded = pa.concat_arrays([pa.array([], pa.string()), *column.chunks]).dictionary_encode()
        return cls(coded.dictionary.to_pylist(), coded.indices.fill_null(-1).to_numpy())

    def rows(self, chosen: Iterable[bool]) -> Mask:
        """Return a mask of the rows whose text is chosen."""
        has: Mask = np.array([*chosen, False])[self.codes]
        return has


def _parts(text: str) -> set[str]:
    """Return a cell's names, and the cell as a whole."""
    return {text, *text.split("|")}


def _hits(column: pa.ChunkedArray, wanted: AbstractSet[str]) -> Iterator[tuple[int, set[str]]]:
    """Yield the number of each row whose cell is one of some ids or has one among several, and these."""
    if not wanted:
        return
    near = pc.or_(pc.is_in(column, value_set=pa.array([*wanted], column.type)), pc.match_substring(column, "|"))
    at = np.flatnonzero(pc.fill_null(near, False).to_numpy())
    for row, text in zip(at.tolist(), column.take(pa.array(at)).to_pylist(), strict=True):
        if hits := _parts(text) & wanted:
            yield row, hits


def _with_ids(rows: pa.Table, names: Iterable[str], wanted: AbstractSet[str]) -> tuple[Mask, set[str]]:
    """Return a mask of the rows with one of the ids in one of the columns, and the ids that were found."""
    fits, met = np.zeros(len(rows), np.bool_), set[str]()
    for name in names:
        for row, hits in _hits(rows[name], wanted):
            fits[row] = True
            met |= hits
    return fits, met


def _another_id(rows: pa.Table, what: str, ids: AbstractSet[str], columns: Columns, fits: Mask) -> list[str]:
    """Return a note for each id that rows which are not chosen have as another id."""
    holders = defaultdict[str, set[str]](set)
    by = columns.ids[0]
    for name in columns.others:
        for row, hits in _hits(rows[name], ids):
            for text in hits if not fits[row] else ():
                holders[text].add(rows[by][row].as_py())
    told = [
        f"{what} '{text}' is a {by}, and another id of {listed(sorted(names))}: ask for that by its {by}"
        for text, names in sorted(holders.items())
    ]
    return _first(told, f"names of {what} are another id too")


def _with_label(labels: Iterable[_Coded], texts: Iterable[str]) -> tuple[Mask | bool, set[str]]:
    """Return a mask of the rows that are called so, and the texts by which some are."""
    folded = defaultdict[str, set[str]](set)
    for text in texts:
        folded[_folded(text)].add(text)
    fits: Mask | bool = False
    met = set[str]()
    for label in labels:
        hits = [folded.keys() & {_folded(part) for part in _parts(text)} for text in label.texts]
        fits |= label.rows(map(bool, hits))
        met.update(text for spellings in hits for spelling in spellings for text in folded[spelling])
    return fits, met


def _by_words(labels: Iterable[_Coded], texts: Sequence[str]) -> dict[str, list[str]]:
    """Return for each text the names that have all its words; texts without such a name are left out."""
    if not texts:
        return {}
    names = defaultdict[str, set[str]](set)
    for name in {part for label in labels for text in label.texts for part in text.split("|")}:
        for word in _words(name):
            names[word].add(name)
    found = {}
    for text in texts:
        each = [names.get(word, set()) for word in _words(text)]
        if each and (common := set.intersection(*each)):
            found[text] = sorted(common)
    return found


def _first(notes: list[str], rest: str) -> list[str]:
    """Return some notes as they are; of more than `LISTED`, the first ones and the number of the rest."""
    return notes if len(notes) <= LISTED else [*notes[:LISTED], f"{len(notes) - LISTED:,} more {rest}"]


def _words(text: str) -> set[str]:
    return {*re.findall(r"\w+", text.casefold())}


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
