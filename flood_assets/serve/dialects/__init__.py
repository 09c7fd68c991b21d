"""Answer in the dialects of clients that exist: the Environment Agency's API, OGC API Features, ERDDAP.

Each has its own paths, names and errors, and gives the rows that `flood_assets.serve.tables` gives: `ea` (with
`ea_items` and `ea_readings`), `features`, `erddap`.
"""
