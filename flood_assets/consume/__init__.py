"""Consume a stream of published events: a lake that follows another one, without the API.

`opening` opens the `stream` of a URL (`kinesis`, `kafka`, `sqs`), `taking` makes landing batches of its records, and
`consumer` reads, ingests and remembers in a `checkpoint` how far it got. `flood_assets.publish.subscribe` reads with
the same streams.
"""
