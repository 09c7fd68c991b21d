"""Benchmark `flood_assets` (time, memory, size, correctness) against common tools.

Run with `make bench` and `make bench-large`; nothing here ships. `__main__` runs a session, `harness` runs and measures
one process, `contestants` has one file per tool, `results` writes RESULTS.md. Only public functions of `flood_assets`
are used; most of the calls are in `contestants/lake_run.py`.
"""
