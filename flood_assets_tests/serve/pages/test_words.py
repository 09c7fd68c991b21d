"""What people read of times and measures."""

import pytest

from flood_assets.serve.pages import words

LEVEL = "River level"


def measure(id_: str, unit: str, period_s: int | None = 900) -> dict:
    return {"measure_id": id_, "unit": unit, "period_s": period_s}


@pytest.mark.parametrize(
    ("measures", "names"),
    [
        ([(LEVEL, measure("a", "m")), ("Rain", measure("b", "mm"))], [LEVEL, "Rain"]),
        (
            [(LEVEL, measure("a", "mASD")), (LEVEL, measure("b", "mAOD"))],
            ["River level, above the station datum", "River level, above Ordnance Datum"],
        ),
        (
            [(LEVEL, measure("a", "m")), (LEVEL, measure("b", "m", 3600)), (LEVEL, measure("c", "m", None))],
            ["River level, every 15 minutes", "River level, every hour", "River level, at no certain times"],
        ),
        ([(LEVEL, measure("a", "m")), (LEVEL, measure("b", ""))], ["River level, in m", "River level, without a unit"]),
        ([(LEVEL, measure("a", "m")), (LEVEL, measure("b", "m"))], ["River level, a", "River level, b"]),
        ([(LEVEL, {"measure_id": "a"}), (LEVEL, {"measure_id": "b"})], ["River level, a", "River level, b"]),
    ],
)
def test_measures_of_one_name_are_told_apart(measures, names):
    assert words.told_apart(measures) == names
