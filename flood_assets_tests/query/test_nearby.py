"""What lies near what, against a plain loop over all pairs."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flood_assets.query.nearby import WITHIN_KM, near, nearest

coordinates = st.tuples(
    st.one_of(st.none(), st.just(math.nan), st.floats(51.0, 51.3)),
    st.one_of(st.none(), st.floats(-1.3, -1.0)),
)


def points(*places: tuple[float | None, float | None]) -> pa.Table:
    lat, long = zip(*places, strict=True) if places else ((), ())
    return pa.table({"lat": pa.array(lat, pa.float64()), "long": pa.array(long, pa.float64())})


def km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The spherical law of cosines, and not the haversine that is tested."""
    (lat_a, long_a), (lat_b, long_b) = (map(math.radians, each) for each in (a, b))
    cosine = math.sin(lat_a) * math.sin(lat_b) + math.cos(lat_a) * math.cos(lat_b) * math.cos(long_a - long_b)
    return 6371.0088 * math.acos(min(1.0, cosine))


def has_place(point: tuple[float | None, float | None]) -> bool:
    return all(each is not None and not math.isnan(each) for each in point)


@given(st.lists(coordinates, max_size=12), st.lists(coordinates, max_size=12))
def test_the_pairs_are_those_of_a_loop_over_all(first, second):
    found = near(points(*first), points(*second))
    distances = {
        (i, j): km(a, b) for i, a in enumerate(first) for j, b in enumerate(second) if has_place(a) and has_place(b)
    }
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    for pair, distance in distances.items():
        # A millimetre is within what the two formulas differ by.
        assert pair in pairs or distance > WITHIN_KM - 1e-4
        assert pair not in pairs or distance < WITHIN_KM + 1e-4
    assert found.km.tolist() == pytest.approx([distances[pair] for pair in pairs], abs=1e-3)
    assert list(zip(found.first.tolist(), found.km.tolist(), strict=True)) == sorted(
        zip(found.first.tolist(), found.km.tolist(), strict=True)
    )


def test_the_nearest_of_several_counts_and_what_is_out_of_reach_is_null():
    stations = points((51.5, -0.1), (51.52, -0.1))
    areas = points((51.5, -0.1), (51.53, -0.1), (53.0, -0.1), (None, None))
    assert nearest(areas, stations).to_pylist() == pytest.approx([0.0, 1.112, None, None], abs=1e-3)


def test_a_degree_of_longitude_is_shorter_in_the_north():
    (distance,) = near(points((50.0, 0.0)), points((50.0, 0.1))).km.tolist()
    (north,) = near(points((55.0, 0.0)), points((55.0, 0.1))).km.tolist()
    assert (distance, north) == (pytest.approx(7.147, abs=0.001), pytest.approx(6.378, abs=0.001))


def test_a_country_is_compared_without_a_matrix_of_all_pairs():
    random = np.random.default_rng(1)
    stations, areas = (points(*random.uniform((50, -5.7), (55.8, 1.7), (n, 2)).tolist()) for n in (5500, 4400))
    before = pa.total_allocated_bytes()
    assert 5_000 < len(near(stations, areas).km) < 100_000
    assert pa.total_allocated_bytes() - before < 50_000_000
