"""Publish what changed in the lake to brokers, databases and webhooks: at least once, each event with a fixed id.

The lake is its own outbox: `publisher` compares the listing of `readings` with the `cursor` of a sink, and sends it
what is missing as `events`. A sink is named by a URL (`flood_assets.sinks`). `schema` describes the events, and
`subscribe` receives them.
"""
