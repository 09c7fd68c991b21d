"""Declare the parameters of each resource: what OpenAPI shows, and what a request is checked against.

The meaning of each is in `tables`. A parameter that is not declared is an error, so that a mistyped filter never
answers with everything.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_NUMBER = r"-?\d{1,3}(\.\d{1,20})?"
Text = Annotated[str, Field(min_length=1, max_length=200)]
Time = Annotated[
    str,
    Field(
        max_length=40,
        json_schema_extra={"format": "date-time"},
        examples=["2026-11-21T09:00:00Z"],
    ),
]
Duration = Annotated[str, Field(max_length=40, examples=["3h", "90min", "PT3H"])]
# Not a list, which would be copied for each request and parameter.
_NONE: Any = ()
Texts = Annotated[list[Text], Field(max_length=1000)]
# There is a station whose id is empty.
Ids = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=1000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(_Asked):
    """Parameters of everything that has rows."""

    columns: Annotated[
        str | None, Field(description="Only these columns, in this order, separated by commas.", max_length=1000)
    ] = None


class Page(Rows):
    """Parameters of rows that come in pages."""

    limit: Annotated[
        int | None,
        Field(ge=1, le=100_000, description="At most so many rows, and a link to the next ones. All by default."),
    ] = None
    after: Annotated[
        str | None,
        Field(description="Rows after this place; from the `next` link of the page before.", max_length=1000),
    ] = None


class OfGauges(_Asked):
    """Parameters that choose gauges; each may be given several times, of which any may match; all filters must."""

    station_id: Annotated[Ids, Field(description="Station, by its exact id.")] = _NONE
    measure_id: Annotated[Ids, Field(description="Measure, by its exact id.")] = _NONE
    station: Annotated[
        Texts, Field(description="Station, by its name, or the number of its public page, or another id.")
    ] = _NONE
    river: Annotated[Texts, Field(description="River, such as `River Thames`; words of its name do too.")] = _NONE
    town: Annotated[Texts, Field(description="Nearest town.")] = _NONE
    catchment: Annotated[Texts, Field(description="Catchment.")] = _NONE
    parameter: Annotated[
        Texts, Field(description="`level`, `flow`, `rainfall`, ..., or the qualifier, such as `Tidal Level`.")
    ] = _NONE
    bbox: Annotated[
        str | None,
        Field(
            description="Stations inside: west, south, east and north in degrees, separated by commas.",
            pattern=rf"^{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}$",
            max_length=120,
            examples=["-0.6,51.3,0.3,51.7"],
        ),
    ] = None
    near: Annotated[
        str | None,
        Field(
            description="Stations within `km` of this latitude and longitude, separated by a comma.",
            pattern=rf"^{_NUMBER},{_NUMBER}$",
            max_length=60,
            examples=["51.41,-0.31"],
        ),
    ] = None
    km: Annotated[float, Field(gt=0, le=1000, description="Distance for `near`, in kilometres.")] = 10


class Gauges(OfGauges, Page):
    """Gauges, in pages."""


class _Joined(_Asked):
    joined: Annotated[bool, Field(description="Add label, river, lat, long, parameter, qualifier and unit.")] = False


class Joined(_Joined, Gauges):
    """Gauges, and what is known of them beside."""


class Spanned(Joined):
    """Gauges in a span of time."""

    start: Annotated[Time | None, Field(description="Moments from this one. 24 hours ago by default.")] = None
    end: Annotated[Time | None, Field(description="Moments before this one. Up to and including now by default.")] = (
        None
    )
    last: Annotated[Duration | None, Field(description="Instead of `start`: so long before `end`, or before now.")] = (
        None
    )


class Readings(Spanned):
    """Readings of gauges."""

    flags: Annotated[
        bool, Field(description="Add QARTOD's flags: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing.")
    ] = False


class Changes(Joined):
    """Readings that came or were corrected."""

    since: Annotated[
        str,
        Field(
            description="After this time, or so long before now.",
            max_length=40,
            examples=["15min", "2026-11-21T09:00:00Z"],
        ),
    ]


class Stream(_Joined, OfGauges, Rows):
    """Changes as they come."""

    last_event_id: Annotated[
        str | None,
        Field(
            description="Go on after the event with this id; for clients that cannot send `Last-Event-ID`.",
            max_length=16_000,
        ),
    ] = None


class Conditions(Joined):
    """States of gauges."""

    band: Annotated[
        list[Literal["below", "normal", "above", "record"]], Field(description="Only these bands of the typical range.")
    ] = _NONE
    trend: Annotated[list[Literal["rising", "steady", "falling"]], Field(description="Only these trends.")] = _NONE
    freshness: Annotated[
        list[Literal["current", "late", "silent"]], Field(description="Only gauges that report so.")
    ] = _NONE


class Warnings(Page):
    """Flood warnings."""

    severity: Annotated[
        list[Literal["severe", "warning", "alert", "ended"]], Field(description="Only these severities.")
    ] = _NONE
    area: Annotated[Texts, Field(description="Flood area, by id, name or description.")] = _NONE
    county: Annotated[Texts, Field(description="County.")] = _NONE
    river: Annotated[Texts, Field(description="River, or part of the sea.")] = _NONE
    near: Annotated[Texts, Field(description="Within 8 km of the stations of this name or id.")] = _NONE
    in_force: Annotated[bool, Field(description="False also for those that ended in the last 24 hours.")] = True


class Alerts(Page):
    """Alerts."""

    status: Annotated[list[Literal["firing", "cleared", "learnt_late"]], Field(description="Only these.")] = _NONE
    rule: Annotated[Texts, Field(description="Rule, by its name.")] = _NONE
    kind: Annotated[Texts, Field(description="Kind of rule, such as above or silent.")] = _NONE
    severity: Annotated[
        list[Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"]],
        Field(description="Only these severities, as the rules say."),
    ] = _NONE
    station: Annotated[Texts, Field(description="Station, by its name or id.")] = _NONE
