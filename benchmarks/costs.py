"""What it costs to run, from what was measured and from public prices: for whoever must decide.

The prices are AWS's for S3 Standard in London (eu-west-2). Here, without a way to AWS's own page, they were taken from
a public copy of its price list. Look them up at aws.amazon.com/s3/pricing and change them here.
"""

from dataclasses import dataclass

PRICES_OF = "November 2026"
GB_MONTH_USD = 0.024
PUT_OR_LIST_USD = 0.0053 / 1000
GET_USD = 0.00042 / 1000
# Data into S3 costs nothing, and so does data between S3 and a machine in the same region.

TICKS_A_DAY = 96
SNAPSHOTS_A_DAY = 24
RECONCILES_A_DAY = 4
DAYS_A_MONTH = 30.4


@dataclass(frozen=True)
class Measured:
    """What one of each kind takes.

    Attributes:
        tick_requests: of the API, by a tick.
        tick_bytes: plain bytes of their answers.
        day_requests: of the API, by a reconcile.
        day_bytes: likewise.
        gauges_requests: of the API, by a snapshot of the gauges.
        gauges_bytes: likewise.
        packed: how much of a plain byte is sent with gzip.
        gets, lists, puts: of the store, by a tick.
        put_bytes: of the store, by a tick.
        stored_bytes: all objects of the lake.
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
    """What that comes to.

    Attributes:
        api_requests: a day.
        api_bytes: a day, as sent with gzip.
        gets, lists, puts: of S3 a day; a reconcile and a cleanup count as a tick each.
        put_bytes: to S3 a day.
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
    """A day's and a month's."""
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
    # The cleanup of each quarter of an hour looks at the lake as a tick does.
    runs = 2 * TICKS_A_DAY + RECONCILES_A_DAY
    gets, lists, puts = (runs * each for each in (measured.gets, measured.lists, measured.puts))
    dollars = (
        DAYS_A_MONTH * (gets * GET_USD + (lists + puts) * PUT_OR_LIST_USD) + measured.stored_bytes / 1e9 * GB_MONTH_USD
    )
    return Costs(api_requests, api_bytes, gets, lists, puts, runs * measured.put_bytes, 100 * dollars)
