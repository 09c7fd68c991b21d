"""Windows of readings kept as numbers and handed out by blocks of measures, so that a network of any size fits.

Whoever judges a gauge needs its whole day, which lies in 25 windows. Each window is decoded once, and of its rows only
numbers are kept: which measure it is, and what else is needed. A block is some measures with all of their rows: a
national day is five of them, a network a hundred times larger is some hundreds, handed out one after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flood_assets.grouping import Codes

Columns = Mapping[str, NDArray[Any]]

# Rows of a block, a measure counting as one more. Columns of so many stay in the processor's cache: a national day is
# judged in two thirds of the time that it needs at once.
MOST = 100_000


class Piece(NamedTuple):
    """What is kept of a window: of each row its measure, as a dictionary of ids, and columns of the same length."""

    measure: pa.DictionaryArray
    columns: Columns

    @classmethod
    def of(cls, ids: pa.ChunkedArray, columns: Columns) -> "Piece":
        """With ids that are text or dictionaries of it, perhaps one for each row group."""
        coded = ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()
        return cls(coded.combine_chunks(), columns)


class Coded(NamedTuple):
    """The same with the number of each row's measure, ascending."""

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
        pieces: the windows, in the order in which a measure's rows are wanted; all with the same columns.
        known: ids that are to be among the measures also where they have no rows.

    Attributes:
        measures: ids, sorted: those that were known before, and those that have rows.
        pieces: as given, but by measure, which is counted as in `measures`.
    """

    def __init__(self, pieces: Sequence[Piece], known: pa.Array | None = None) -> None:
        first = pa.array([], pa.string()) if known is None else known
        chunks = [first.dictionary_encode(), *(piece.measure for piece in pieces)]
        listed, *rest = pa.chunked_array(chunks).unify_dictionaries().chunks
        ids = listed.dictionary
        count = np.zeros(len(ids), np.int64)
        for chunk in rest:
            count += np.bincount(chunk.indices.to_numpy(), minlength=len(ids))
        stays = count > 0
        stays[listed.indices.to_numpy()] = True
        order = pc.sort_indices(ids).to_numpy()
        # What a reader cut off may have been the last row of a measure that a dictionary still names.
        order = order[stays[order]]
        rank = np.full(len(ids), -1, np.int32)
        rank[order] = np.arange(len(order))
        self.measures = ids.take(pa.array(order))
        self._count = count[order]
        self.pieces = [
            _sorted(Coded(rank[chunk.indices.to_numpy()], piece.columns))
            for chunk, piece in zip(rest, pieces, strict=True)
        ]

    def each(self, most: int = MOST) -> Iterator[Block]:
        """All measures, so many at once that the rows of a block, but for its first measure, are less than `most`."""
        number = np.cumsum(self._count + 1) // most
        edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
        for first, last in pairwise(edges):
            if last > first:
                yield self.block(first, last)

    def block(self, first: int, last: int) -> Block:
        """The measures from one to before another."""
        # Of another type, each window's codes would be copied for each block.
        edges = np.array([first, last], np.int32)
        spans = [slice(*np.searchsorted(piece.codes, edges).tolist()) for piece in self.pieces]
        measure = np.concatenate(
            [np.zeros(0, np.int64), *(p.codes[span] for p, span in zip(self.pieces, spans, strict=True))]
        )
        order = np.argsort(measure, kind="stable")
        columns = {
            name: np.concatenate([p.columns[name][span] for p, span in zip(self.pieces, spans, strict=True)])[order]
            for name in (self.pieces[0].columns if self.pieces else ())
        }
        return Block(first, last, measure[order] - first, columns)


def _sorted(piece: Coded) -> Coded:
    """By measure; windows are, but for damaged ones."""
    if not (np.diff(piece.codes) < 0).any():
        return piece
    order = np.argsort(piece.codes, kind="stable")
    return Coded(piece.codes[order], {name: column[order] for name, column in piece.columns.items()})
