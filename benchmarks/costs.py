"""Estimate running costs from measurements and public prices.

The prices are AWS's for S3 Standard in London (eu-west-2), taken from a public copy of its price list because AWS's own
page was not reachable. Check them at aws.amazon.com/s3/pricing and update them here.
"""

from dataclasses import dataclass

PRICES_OF = "November 2026"
GB_MONTH_USD = 0.024
PUT_OR_LIST_USD = 0.0053 / 1000
GET_USD = 0.00042 / 1000
# Traffic into S3, and between S3 and a machine in the same region, is free.

TICKS_A_DAY = 96
SNAPSHOTS_A_DAY = 24
RECONCILES_A_DAY = 4
DAYS_A_MONTH = 30.4


@dataclass(frozen=True)
class Measured:
    """Measured requests and bytes of one tick, one reconcile and one snapshot of the gauges.

    Attributes:
        tick_requests: requests to the API by a tick.
        tick_bytes: uncompressed bytes of their answers.
        day_requests: requests to the API by a reconcile.
        day_bytes: uncompressed bytes of their answers.
        gauges_requests: requests to the API by a snapshot of the gauges.
        gauges_bytes: uncompressed bytes of their answers.
        packed: compressed bytes per uncompressed byte.
        gets, lists, puts: requests to the store by a tick.
        put_bytes: bytes written to the store by a tick.
        stored_bytes: size of all objects of the lake.
    """

    tick_requests: float
    tick_bytes: float
    day_requests: float
    day_bytes: float
    gauges_requests: float
    gauges_bytes: float
    packed: float
    gets: float
    lists: float
    puts: float
    put_bytes: float
    stored_bytes: float


@dataclass(frozen=True)
class Costs:
    """Estimated load and cost.

    Attributes:
        api_requests: requests to the API a day.
        api_bytes: bytes from the API a day, compressed.
        gets, lists, puts: requests to S3 a day; a reconcile and a cleanup count as a tick each.
        put_bytes: bytes written to S3 a day.
        cents: US cents a month.
    """

    api_requests: float
    api_bytes: float
    gets: float
    lists: float
    puts: float
    put_bytes: float
    cents: float


def of(measured: Measured) -> Costs:
    """Return the estimated load of a day and the cost of a month."""
    api_requests = (
        TICKS_A_DAY * measured.tick_requests
        + SNAPSHOTS_A_DAY * measured.gauges_requests
        + RECONCILES_A_DAY * measured.day_requests
    )
    api_bytes = measured.packed * (
        TICKS_A_DAY * measured.tick_bytes
        + SNAPSHOTS_A_DAY * measured.gauges_bytes
        + RECONCILES_A_DAY * measured.day_bytes
    )
    # The cleanup every 15 minutes reads the lake as a tick does.
    runs = 2 * TICKS_A_DAY + RECONCILES_A_DAY
    gets, lists, puts = (runs * each for each in (measured.gets, measured.lists, measured.puts))
    dollars = (
        DAYS_A_MONTH * (gets * GET_USD + (lists + puts) * PUT_OR_LIST_USD) + measured.stored_bytes / 1e9 * GB_MONTH_USD
    )
    return Costs(api_requests, api_bytes, gets, lists, puts, runs * measured.put_bytes, 100 * dollars)
