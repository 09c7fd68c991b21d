"""The room for Dagster: assets, checks, jobs, schedules, sensors, resources and the IO manager.

Dagster is imported only here, in `flood_assets.definitions`, in `flood_assets.cli.run` and by doctor's Dagster page.
"""
