"""Count expected, received and missing readings per measure and hour, with the cause of each gap.

`day` holds a day's readings as numpy columns. `intervals` says how often each gauge reports, `delays` how late, and
`counts` counts. `account` reads a lake and does all of it; the other modules are pure.
"""
