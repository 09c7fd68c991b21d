"""Counts in messages."""

import pytest

from flood_assets.words import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 windows"), (1, "1 window"), (2, "2 windows"), (1_500, "1,500 windows")]
)
def test_only_one_is_singular(number, said):
    assert counted(number, "window") == said


def test_a_plural_may_be_another_word():
    assert [counted(number, "has", "have") for number in (0, 1, 2)] == ["0 have", "1 has", "2 have"]
