"""The steps of a tick, without Dagster: what each fetches or works out, and stores.

`lists` fetches the lists of gauges, flood areas and warnings, `outputs` stores them, and `steps` takes all steps in
order. Dagster's assets (`flood_assets.defs.assets`) call the same functions, each for one step, and describe what came.
"""
