"""Readings are brought in order once, whatever order, parts and dictionaries they come in."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from flood_assets.ea import gather
from flood_assets.ea.gather import Gatherer
from flood_assets.ea.parse import FETCHED, Parsed
from flood_assets.grouping import by_window
from flood_assets.schemas import REJECTS
from flood_assets_tests.test_grouping import CUTS, NOW, ROWS, in_order, listed, parts, table

NO_REJECTS = REJECTS.schema.empty_table()


@pytest.mark.parametrize("lot", [1, 1 << 16])
@given(rows=ROWS, cuts=CUTS)
@settings(deadline=None)
def test_a_gatherer_gives_them_in_that_order_however_they_came(lot, rows, cuts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "_LOT", lot)
        gatherer = Gatherer(NOW)
        for part in parts(rows, cuts):
            gatherer.add(Parsed(part, NO_REJECTS))
        assert gatherer.rows == len(rows)
        assert gatherer.lines == len(rows)
        assert gatherer.values == len(rows) + sum(row[3] is not None for row in rows)
        found, rejects = gatherer.take()
    assert rejects.equals(NO_REJECTS)
    assert found.schema == FETCHED
    assert listed(found) == in_order(rows)
    assert set(found["observed_at"].to_pylist()) <= {NOW}
    assert (gatherer.rows, len(gatherer.take().rows)) == (0, 0)


def test_what_is_in_order_is_only_looked_at():
    many = [(f"m{i:04}", NOW - hour * timedelta(hours=1), 1.0, None) for i in range(1500) for hour in range(3)]
    gatherer = Gatherer(NOW)
    gatherer.add(Parsed(table(many), NO_REJECTS))
    rows = gatherer.take().rows
    assert rows["measure_id"].num_chunks == 3
    found = by_window(rows)
    assert [window.at for window in found.windows] == [range(1500), range(1500, 3000), range(3000, 4500)]
    chunks = rows["date_time"].chunks
    for window, chunk in zip(found.windows, chunks, strict=True):
        assert np.shares_memory(window.time, chunk.cast(pa.int64()).to_numpy())
