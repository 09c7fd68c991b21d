"""Send to a DynamoDB table: the newest reading of each measure, one item each.

An item is replaced only by a reading that is newer, or the same one changed later, so late and repeated events do no
harm. It expires a day after its reading (`expires_at`, the table's TTL attribute); DynamoDB deletes lazily, so readers
compare `expires_at` with the time.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from botocore.exceptions import ClientError

from flood_assets.partitions import RETENTION
from flood_assets.schemas import READINGS
from flood_assets.sinks.aws import THREADS, AwsSink, named
from flood_assets.sinks.base import Sent, only_readings
from flood_assets.sinks.events import CloudEvents

# DynamoDB's numbers are larger than 1e-130 and smaller than 1e126.
_LEAST, _MOST = 1e-130, 1e126
_DAY_S = int(RETENTION.total_seconds())
# One comparison of texts: three of the columns cost a simulated DynamoDB as much as the rest of the put.
NEWER = "attribute_not_exists(order_key) OR order_key <= :key"


class DynamoDb(AwsSink):
    """`dynamodb://table`, whose partition key is `measure_id` (text), without a sort key."""

    def __init__(self, url: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, "dynamodb", pause_s=pause_s)
        self._table = named(url)

    def send(self, events: CloudEvents) -> Sent:  # noqa: D102
        readings = only_readings(events, self.name)
        time = readings.rows["date_time"].cast("int64").to_numpy()
        changed, measures = events.changed, np.array(events.keys, np.object_)
        # Of each measure the newest: the last in this order, and where it stands among the items.
        order = np.lexsort((changed, time))
        last = {measures[number]: number for number in order.tolist()}
        chosen = list(last.values())
        bodies = events.bodies()
        items = [item(bodies[number]["data"], int(time[number]), int(changed[number])) for number in chosen]

        def put(numbers: Sequence[int]) -> dict[int, str]:
            (number,) = numbers
            wanted = items[number]
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=wanted,
                    ConditionExpression=NEWER,
                    ExpressionAttributeValues={":key": wanted["order_key"]},
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                    raise
            return {}

        sent = self.put_all([(number, number + 1) for number in range(len(items))], put, threads=THREADS)
        done = {measures[number] for number, each in zip(chosen, sent.confirmed.tolist(), strict=True) if each}
        return Sent(np.array([measure in done for measure in measures], np.bool_), sent.trouble)


def item(data: dict[str, Any], time_ms: int, changed_ms: int) -> dict[str, dict[str, str]]:
    """Return a row as DynamoDB writes it, without what is null, with when it expires and what it is compared by.

    `order_key` holds the reading's time, the change's and the revision, so wide that they sort as text.
    """
    found = {name: _attribute(data[name]) for name in READINGS.schema.names if data[name] is not None}
    found["order_key"] = {"S": f"{time_ms:013}-{changed_ms:013}-{data['revision']:06}"}
    found["expires_at"] = {"N": str(time_ms // 1000 + _DAY_S)}
    return found


def _attribute(value: str | float) -> dict[str, str]:
    """Return a value as DynamoDB writes it; one beyond the range of its numbers as text."""
    number = not isinstance(value, str) and (value == 0 or _LEAST < abs(value) < _MOST)
    return {"N" if number else "S": str(value)}
