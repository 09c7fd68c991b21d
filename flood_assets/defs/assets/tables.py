"""Tables of the lake as Dagster assets: how each is declared, and its columns as the UI shows them."""

from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from flood_assets.defs.windows import hourly_windows
from flood_assets.schemas import Table

GROUP = "flood"
OWNERS = ["team:hydrology"]
# One run at the API at a time: the Environment Agency asks users to keep the load low.
API_POOL = "ea_api"
# The client retries each request by itself; this retries the whole step when that was not enough.
RETRIES = dg.RetryPolicy(max_retries=1, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
# A range of windows is one run: the API returns a day in one answer.
ONE_RUN = dg.BackfillPolicy.single_run()

LICENCE = (
    "Open Government Licence v3: this uses Environment Agency flood and river level data "
    "from the real-time data API (Beta)"
)


def ingested(table: Table, **more: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate the function that fetches hourly windows of a table from the API; `more` goes to `dagster.asset`."""
    asset = computed(table, partitions_def=hourly_windows, pool=API_POOL, retry_policy=RETRIES, **more)

    def decorated(function: Callable[..., Any]) -> dg.AssetsDefinition:
        # `@asset(backfill_policy=...)` would do the same and print a BetaWarning each time definitions load.
        return asset(function).with_attributes(backfill_policy=ONE_RUN)

    return decorated


def computed(table: Table, **more: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate the function that returns a table's rows; `more` goes to `dagster.asset`."""
    return dg.asset(io_manager_key="lake_io", **_described(table), **more)


def stored_with(asset: str, table: Table, description: str, deps: list[str]) -> dg.AssetSpec:
    """Declare a table that the step of another asset stores; that step records its materializations.

    A multi_asset would make each of them one more event a window, and the two could not be run one without the other.
    """
    description = f"{description} Stored by the step of `{asset}`: materialize that."
    spec = dg.AssetSpec(table.name, description=description, deps=deps, **_described(table))
    return spec.with_io_manager_key("lake_io")


def check_specs(asset: str, checks: Iterable[tuple[str, str]]) -> list[dg.AssetCheckSpec]:
    """Declare the checks of an asset, each by its name and its description."""
    return [dg.AssetCheckSpec(name, asset=asset, description=description) for name, description in checks]


def _described(table: Table) -> dict[str, Any]:
    return {
        "group_name": GROUP,
        "owners": OWNERS,
        "kinds": {"python", "parquet"},
        "code_version": "1",
        "metadata": {"dagster/column_schema": column_schema(table), "licence": LICENCE},
    }


def column_schema(table: Table) -> dg.TableSchema:
    """Return a table's columns with type, unit and description; the unit stands in front of the description."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=f"[{column.unit}] {column.meaning}" if column.unit else column.meaning,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(other=[f"unique within a window: {', '.join(table.key)}"]),
    )
