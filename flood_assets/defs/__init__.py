"""The room for Dagster: assets, checks, jobs, schedules, sensors, resources and the IO manager.

Nothing outside this room and `flood_assets.definitions` imports Dagster, but for the commands that run jobs.
"""
