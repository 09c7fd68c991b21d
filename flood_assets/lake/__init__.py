"""Keep hourly Parquet windows in a folder or a bucket: writers never lose each other's rows, readers see whole windows.

`lake` is the way in. Below it `read`, `write`, `quarantine` and `retention` work on windows, `upsert` on their rows,
and `watermarks` says how far the lake is complete. `parquet` knows the bytes, `layout` the names, and `store` how
objects are read and replaced in a `folder` or a `bucket`. Nothing here knows Dagster's runs or the API.
"""
