"""Landing: where pushed batches wait to be ingested, and the receipts of those that were.

`bodies` decodes what a publisher sends (`binary` does so in a process of its own), `rules` and `gauges` validate its
readings, stations and measures, `objects` says what is stored, `batches` stores it, and `ingest` brings it into the
lake. `uploads` expects larger files, and `streamed` reads them. `queue` and `notified` tell when something has landed.
HTTP is in `flood_assets.serve.push`.
"""
