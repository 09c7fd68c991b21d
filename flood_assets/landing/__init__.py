"""Landing: where pushed batches wait to be ingested, and the receipts of those that were.

`bodies` decodes what a publisher sends (`binary` does so in a process of its own), `rules` validates it, `objects` says
what is stored, `batches` stores it, and `ingest` brings it into the lake. HTTP is in `flood_assets.serve.push`.
"""
