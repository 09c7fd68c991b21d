"""Asset checks: each reports what it found and never stops what was stored.

`readings` checks all stored readings, `gauges` the snapshots, `completeness` the ledger's counts, and `conditions` the
plausibility of the readings and what follows from them. Functions that take a lake, rows or an account are pure but for
reading the lake.
"""
