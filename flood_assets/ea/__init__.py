"""The source: the Environment Agency's real-time flood-monitoring API.

`client` asks over HTTP, `parse` makes Arrow tables of the answers, `plan` decides what to ask for.
Nothing here knows of Dagster or of the lake.
"""
