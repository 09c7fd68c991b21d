"""What a person gets wrong first, looked at in order: settings, the API's answers, the lake, Dagster, versions.

`report` prints what each check finds. The checks are in `variables`, `api_answers` (which asks by `asking`),
`lake_access`, `dagster_setup` and `versions`: small functions that give findings (`finding`). What fails in one never
stops another, and no finding shows a secret (`redaction`). What the lake holds is the subject of
`flood_assets.cli.status`.
"""

from flood_assets.cli.doctor.report import show

__all__ = ["show"]
