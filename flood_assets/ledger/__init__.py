"""The ledger: of each gauge and hour, what was to be expected, what came, and why the rest did not.

`day` is what it is judged from: readings and gauges as numpy columns. `rhythm` says how often a gauge reports, `delays`
how late, `counts` what follows for each window, and `account` reads a lake and does all three. But for `account`,
everything is pure; nothing knows Dagster or asks the API.
"""
