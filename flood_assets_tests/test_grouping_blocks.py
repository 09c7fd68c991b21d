"""Windows as numbers: each measure's rows are all there, in order, however many are handed out at once."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.grouping import Blocks, Piece

# Windows of (measure, something), as they come.
days = st.lists(st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 9)), max_size=12), max_size=5)


def blocks_of(day: list[list[tuple[str, int]]], known: str = "") -> Blocks:
    pieces = [
        Piece.of(
            pa.chunked_array([[measure for measure, _ in window]], pa.string()),
            {"what": np.array([what for _, what in window], np.int64)},
        )
        for window in day
    ]
    return Blocks.of(pieces, pa.array(list(known), pa.string()))


@given(days, st.text("abcxyz", max_size=4), st.integers(1, 30))
def test_each_measure_has_all_of_its_rows_in_their_order(day, known, most):
    blocks = blocks_of(day, known)
    assert blocks.measures.to_pylist() == sorted({*known, *(measure for window in day for measure, _ in window)})
    found: dict[str, list[int]] = {measure: [] for measure in blocks.measures.to_pylist()}
    end = 0
    for block in blocks.each(most):
        assert block.first == end < block.last
        end = block.last
        assert (np.diff(block.measure) >= 0).all()
        for number, what in zip(block.measure, block.columns.get("what", []), strict=True):
            found[blocks.measures[block.first + number].as_py()].append(what)
    assert end == len(found)
    for measure, rows in found.items():
        assert rows == [what for window in day for of, what in window if of == measure]


@given(days, st.integers(1, 30))
def test_a_block_has_no_more_rows_than_asked_but_for_those_of_its_first_measure(day, most):
    blocks = blocks_of(day)
    for block in blocks.each(most):
        assert (block.measure > 0).sum() < most


def test_a_measure_that_only_a_dictionary_names_is_none():
    ids = pa.chunked_array([pa.array(["b", "a", "c"]).dictionary_encode()]).filter(pa.array([True, False, True]))
    assert Blocks.of([Piece.of(ids, {})]).measures.to_pylist() == ["b", "c"]


def test_a_window_may_have_several_dictionaries_and_no_order():
    parts = [pa.array(["b", "a"]).dictionary_encode(), pa.array(["c", "b"]).dictionary_encode()]
    blocks = Blocks.of([Piece.of(pa.chunked_array(parts), {"row": np.arange(4)})])
    block = blocks.block(0, 3)
    assert block.measure.tolist() == [0, 1, 1, 2]
    assert block.columns["row"].tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("type_", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_window_without_rows_is_a_piece(type_):
    empty = Piece.of(pa.chunked_array([], type_), {"row": np.zeros(0, np.int64)})
    assert len(Blocks.of([empty]).measures) == 0
    assert list(Blocks.of([empty]).each()) == []
    assert Blocks.of([empty], pa.array(["a"])).block(0, 1).columns["row"].tolist() == []
