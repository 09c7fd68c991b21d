"""Windows of readings kept as numbers and handed out by blocks of measures, so that a network of any size fits.

Whoever judges a gauge needs its whole day, which lies in 25 windows. Each window is decoded once, and of its rows only
numbers are kept: which measure it is, and what else is needed. A block is some measures with all of their rows: a
national day is one, a network a hundred times larger is handed out in some dozen, one after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Columns = Mapping[str, NDArray[Any]]

# Rows of a block, a measure counting as one more. Columns of so many stay in the processor's cache: a national day is
# judged in two thirds of the time that it needs at once.
MOST = 100_000


class Numbers:
    """A number for each measure, the same in all windows; several threads may ask at once.

    Args:
        known: ids that are to be among the measures also where they have no rows.
    """

    def __init__(self, known: pa.Array | None = None) -> None:
        self.ids = pa.array([], pa.string()) if known is None else pc.unique(known)
        self.known = len(self.ids)
        self._lock = Lock()

    def of(self, ids: pa.ChunkedArray) -> Codes:
        """The number of each row's measure; `ids` are text or a dictionary of it."""
        if not pa.types.is_dictionary(ids.type):
            ids = ids.dictionary_encode()
        coded = ids.unify_dictionaries().combine_chunks()
        if isinstance(coded, pa.ChunkedArray):  # without a row there is no chunk to combine
            return np.zeros(0, np.int32)
        text = coded.dictionary.cast(pa.string())
        with self._lock:
            number = pc.index_in(text, value_set=self.ids)
            new = text.filter(number.is_null())
            number = number.fill_null(-1).to_numpy(zero_copy_only=False).copy()
            number[number < 0] = np.arange(len(new)) + len(self.ids)
            self.ids = pa.concat_arrays([self.ids, new])
        codes: Codes = number[coded.indices.to_numpy()]
        return codes


class Piece(NamedTuple):
    """What is kept of a window: the number of each row's measure, and columns of the same length."""

    codes: Codes
    columns: Columns


class Block(NamedTuple):
    """Some measures and all of their rows.

    Attributes:
        first: the first of the measures.
        last: the one after the last.
        measure: of each row its measure, counted from `first`; ascending.
        columns: of each row; a measure's rows are in the order of the pieces, and in that of each piece's rows.
    """

    first: int
    last: int
    measure: NDArray[np.int64]
    columns: Columns


class Blocks:
    """The measures of some windows, and their rows block by block.

    Args:
        numbers: by which the pieces were coded.
        pieces: the windows, in the order in which a measure's rows are wanted; all with the same columns.

    Attributes:
        measures: ids, sorted: those that were known before, and those that have rows.
        pieces: as given, but by measure, which are counted as in `measures`.
    """

    def __init__(self, numbers: Numbers, pieces: Sequence[Piece]) -> None:
        count = np.zeros(len(numbers.ids), np.int64)
        for piece in pieces:
            count += np.bincount(piece.codes, minlength=len(count))
        order = pc.sort_indices(numbers.ids).to_numpy()
        # What a reader cut off may have been the last row of a measure that a dictionary still names.
        order = order[(count[order] > 0) | (order < numbers.known)]
        rank = np.full(len(count), -1, np.int32)
        rank[order] = np.arange(len(order))
        self.measures = numbers.ids.take(pa.array(order))
        self._count = count[order]
        self.pieces = [_sorted(Piece(rank[piece.codes], piece.columns)) for piece in pieces]

    def each(self, most: int = MOST) -> Iterator[Block]:
        """All measures, so many at once that the rows of a block, but for its first measure, are less than `most`."""
        number = np.cumsum(self._count + 1) // most
        edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
        for first, last in pairwise(edges):
            if last > first:
                yield self.block(first, last)

    def block(self, first: int, last: int) -> Block:
        """The measures from one to before another."""
        spans = [slice(*np.searchsorted(piece.codes, (first, last)).tolist()) for piece in self.pieces]
        measure = np.concatenate(
            [np.zeros(0, np.int64), *(p.codes[span] for p, span in zip(self.pieces, spans, strict=True))]
        )
        order = np.argsort(measure, kind="stable")
        columns = {
            name: np.concatenate([p.columns[name][span] for p, span in zip(self.pieces, spans, strict=True)])[order]
            for name in (self.pieces[0].columns if self.pieces else ())
        }
        return Block(first, last, measure[order] - first, columns)


def _sorted(piece: Piece) -> Piece:
    """By measure; windows are, but for damaged ones."""
    if not (np.diff(piece.codes) < 0).any():
        return piece
    order = np.argsort(piece.codes, kind="stable")
    return Piece(piece.codes[order], {name: column[order] for name, column in piece.columns.items()})
