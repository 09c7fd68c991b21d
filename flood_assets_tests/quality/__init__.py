"""Tests of `flood_assets.quality`."""
