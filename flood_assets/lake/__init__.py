"""The lake: hourly windows of Parquet in a folder or a bucket, that two writers never break and readers never see half.

`lake` is the way in. `layout` says where a window lies, `parquet` what its bytes are, `merge` what is stored when
new rows meet old ones, `watermarks` how far it is complete, `retention` what goes after a day, and `store`
and `s3` how bytes reach a folder or a bucket. Nothing here knows Dagster's runs or the API.
"""
