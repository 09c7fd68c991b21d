"""Tests of flood_assets, laid out as the package is."""
