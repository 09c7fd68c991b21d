"""Judge the lake by rules, tell what fires and what clears, and keep it in the lake.

`rules` reads the rules, `evidence` what they are judged by, `episodes` and `judge` decide, without looking at a lake or
a clock, `judging` stores the result by compare-and-swap, and `replay` judges a past day. The stored state itself is in
`flood_assets.query.alerts`, where those who only read it find it too.
"""
