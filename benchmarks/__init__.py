"""How quick, how small and how right `flood_assets` is, beside what people would use instead.

Run by `make bench` and `make bench-large`; nothing here ships. `__main__` is the order of a session, `harness` runs one
process and counts, `contestants` holds one file for each rival, `results` writes RESULTS.md. What depends on the core
uses its public functions only.
"""
