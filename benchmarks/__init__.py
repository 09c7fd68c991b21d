"""Benchmark `flood_assets` (time, memory, size, correctness) against common tools.

Run with `make bench`, `make bench-large` and `make bench-shards`; nothing here ships. `__main__` runs a session,
`harness` runs and measures one process, `contestants` has one file per tool, `results` writes RESULTS.md and
`shard_page` SHARDS.md. Only public functions of `flood_assets` are used; most of the calls are in
`contestants/lake_run.py`.
"""
