"""Asset checks: each reports what it found and never stops what was stored.

`readings` checks all stored readings, with `values` for their plausibility; `gauges` checks the snapshots, and
`completeness` the ledger's counts. Functions that take a lake, rows or an account are pure but for reading the lake.
"""
