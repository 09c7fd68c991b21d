"""Draw a measure's last 24 hours as SVG, for browsers without script: a line, or bars for rain. Pure.

Nothing is drawn that was not measured: a line ends where readings are missing, and gaps are marked. What failed the
checks is marked but does not belong to the line, and does not stretch the scale.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, isfinite, log10

import msgspec
from markupsafe import Markup, escape

from flood_assets.partitions import RETENTION, london
from flood_assets.quality import FAIL, SUSPECT
from flood_assets.quality.kinds import Kind
from flood_assets.query.conditions import NO_VALUES
from flood_assets.serve.pages import words

# Units of the picture: on a phone two thirds of a pixel, so that its letters can still be read.
WIDTH, HEIGHT = 520, 258
LEFT, RIGHT, TOP, BOTTOM = 46, 508, 20, 206
RAIN = (Kind.RAIN, Kind.RAIN_EVENT, Kind.RAIN_COUNTER)
_TICK_HOURS = 4
# Readings further apart than so many intervals have a gap between them: clocks of gauges drift by seconds.
_GAP = 1.6
_USUAL = timedelta(minutes=15)
_MARKS = {
    "suspect": "suspect, or of high interest",
    "fail": "failed the checks, not used",
    "several": "several values at one time, not used",
    "no-value": "no value",
    "before": "value before a correction",
}


@dataclass(frozen=True)
class Series:
    """Readings of a measure in order of time, and what they are compared with.

    Attributes:
        kind: of the measure.
        unit: as the API gives it.
        at: times of the readings.
        value: None for none or several.
        flag: worst flag of each.
        raw: the API's text where it is no single value, such as `2.796|2.922`.
        before: value before its last correction; None without one.
        interval: between two readings; None if nobody knows, as for each tip of a rain gauge's bucket.
        typical: lower and upper end of the typical range, if it belongs to this measure.
        record: highest level on record, likewise.
        due: when the next reading is due.
    """

    kind: Kind
    unit: str | None
    at: Sequence[datetime]
    value: Sequence[float | None]
    flag: Sequence[int]
    raw: Sequence[str | None]
    before: Sequence[float | None]
    interval: timedelta | None
    typical: tuple[float, float] | None
    record: float | None
    due: datetime | None

    def usable(self) -> Iterator[tuple[datetime, float]]:
        """Yield time and value of the readings that are one number and did not fail."""
        for at, value, flag in zip(self.at, self.value, self.flag, strict=True):
            if value is not None and isfinite(value) and flag != FAIL and value not in NO_VALUES:
                yield at, value

    def several(self, row: int) -> list[float]:
        """Return the numbers of a reading that has several."""
        found = []
        for text in (self.raw[row] or "").split("|"):
            try:
                found.append(float(text))
            except ValueError:
                continue
        return [each for each in found if isfinite(each)]


def gaps(series: Series, start: datetime, now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the times between which readings are missing.

    What is not yet due is no gap. Of a gauge without a reporting interval nobody knows.
    """
    if series.interval is None:
        return []
    interval = series.interval
    found = []
    before = start - interval
    for at in series.at:
        if at - before > _GAP * interval:
            found.append((max(before, start), at - interval))
        before = at
    overdue = series.due is not None and now > series.due
    if overdue or now - before > 3 * interval + timedelta(hours=1):
        found.append((max(before, start), now))
    return [(first, last) for first, last in found if last > first]


def picture(series: Series, name: str, now: datetime) -> Markup:
    """Return the chart of a measure's last 24 hours, with a title and a description for who cannot see it."""
    start = now - RETENTION
    scale = _Scale.of(series, start, now)
    rain = series.kind in RAIN
    missing = gaps(series, start, now)
    drawn = [
        *_gaps(missing, scale),
        *_typical(series, scale),
        *_grid(scale, start, now),
        *(_bars(series, scale) if rain else _line(series, scale, missing)),
        *_before(series, scale),
        *_marks(series, scale),
    ]
    unit = words.unit(series.unit)
    axis = f'<text class="unit" x="4" y="12">{escape(unit)}</text>' if unit else ""
    return Markup(  # noqa: S704 - texts are escaped, all else is numbers
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" focusable="false">'
        f"<title>{escape(name)}: the last 24 hours</title><desc>{escape(said(series, missing))}</desc>"
        f"{axis}{''.join(drawn)}</svg>"
    )


def said(series: Series, missing: Sequence[tuple[datetime, datetime]]) -> str:
    """Return what the chart shows, in words."""
    usable = list(series.usable())
    if not usable:
        return "There is no usable reading in the last 24 hours."
    values = [value for _, value in usable]
    unit = series.unit
    if series.kind in RAIN and series.kind is not Kind.RAIN_COUNTER:
        text = f"{words.quantity(round(sum(values), 1), unit)} in {len(values)} readings"
    else:
        text = f"From {words.quantity(min(values), unit)} to {words.quantity(max(values), unit)}"
        text += f" in {len(values)} readings"
    if missing:
        text += f", with {len(missing)} gap{'s' if len(missing) > 1 else ''}"
    return f"{text}."


def data(series: Series, missing: Sequence[tuple[datetime, datetime]], now: datetime) -> str:
    """Return the same as JSON for a chart that moves: times in seconds since 1970."""
    start = now - RETENTION
    scale = _Scale.of(series, start, now)
    found = {
        "at": [int(at.timestamp()) for at in series.at],
        "value": [value if value is not None and isfinite(value) else None for value in series.value],
        "mark": [_mark(value, flag) for value, flag in zip(series.value, series.flag, strict=True)],
        "several": {row: found for row in range(len(series.at)) if (found := series.several(row))},
        "before": {row: value for row, value in enumerate(series.before) if value is not None and isfinite(value)},
        "gaps": [[int(first.timestamp()), int(last.timestamp())] for first, last in missing],
        "span": [int(start.timestamp()), int(now.timestamp())],
        "low": scale.low,
        "high": scale.high,
        "typical": series.typical,
        "record": series.record,
        "unit": words.unit(series.unit),
        "interval": series.interval and int(series.interval.total_seconds()),
        "bars": series.kind in RAIN,
    }
    return msgspec.json.encode(found).decode()


def marks_of(series: Series) -> list[tuple[str, str]]:
    """Return the marks that a chart has beside its line or bars, and what they mean."""
    there = {
        "several" if mark == "no-value" and series.several(row) else mark
        for row, mark in enumerate(map(_mark, series.value, series.flag))
    }
    if any(value is not None for value in series.before):
        there.add("before")
    return [(mark, said) for mark, said in _MARKS.items() if mark in there]


def _mark(value: float | None, flag: int) -> str:
    """Return the mark of a reading; empty for one that is only a part of the line."""
    if value is None:
        return "no-value"
    if flag == FAIL or value in NO_VALUES or not isfinite(value):
        return "fail"
    return "suspect" if flag == SUSPECT else ""


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    step: float
    start: datetime
    now: datetime

    @classmethod
    def of(cls, series: Series, start: datetime, now: datetime) -> "_Scale":
        shown = [value for _, value in series.usable()]
        shown += [each for row in range(len(series.at)) for each in series.several(row)]
        low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
        if series.kind in RAIN:
            low, high = 0.0, max(high, 1.0)
        elif series.typical:
            low, high = min(low, series.typical[0]), max(high, series.typical[1])
        if series.record is not None and high < series.record <= high + (high - low):
            high = series.record
        if high - low < 0.02:
            low, high = low - 0.01, high + 0.01
        step = _step(high - low)
        first = floor(low / step) * step
        return cls(first, max(ceil(high / step - 1e-9) * step, first + step), step, start, now)

    def x(self, at: datetime) -> float:
        share = (at - self.start) / (self.now - self.start)
        return round(LEFT + min(max(share, 0), 1) * (RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(BOTTOM - min(max(share, 0), 1) * (BOTTOM - TOP), 1)


def _step(span: float) -> float:
    """Return a round distance between about four grid lines."""
    size = 10.0 ** floor(log10(span / 4))
    return next(size * each for each in (1, 2, 2.5, 5, 10) if span / (size * each) <= 4.5)


def _grid(scale: _Scale, start: datetime, now: datetime) -> Iterator[str]:
    value = scale.low
    decimals = max(0, -floor(log10(scale.step) + 1e-9)) + (1 if f"{scale.step:.1e}".startswith("2.5") else 0)
    while value <= scale.high + scale.step / 100:
        y = scale.y(value)
        yield f'<path class="grid" d="M{LEFT} {y}H{RIGHT}"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 4}" text-anchor="end">{escape(words.number(value, decimals))}</text>'
        value += scale.step
    zone = ""
    for at in ticks(start, now):
        x, local = scale.x(at), at.astimezone(london())
        yield f'<path class="grid" d="M{x} {TOP}V{BOTTOM + 4}"/>'
        changed = f"{local:%Z}" != zone
        zone = f"{local:%Z}"
        yield f'<text x="{x}" y="{BOTTOM + 17}" text-anchor="middle">{local:%H:%M}</text>'
        day = f" {local:%a}" if local.hour < _TICK_HOURS or changed else ""
        below = zone + day if changed else day.strip()
        if below:
            yield f'<text x="{x}" y="{BOTTOM + 31}" text-anchor="middle">{below}</text>'
        yield f'<text class="faint" x="{x}" y="{BOTTOM + 45}" text-anchor="middle">{at:%H:%M}</text>'
    yield f'<text class="faint" x="4" y="{BOTTOM + 45}">UTC</text>'


def ticks(start: datetime, now: datetime) -> list[datetime]:
    """Return the moments of the time axis: every four hours of UTC, so that none is lost or doubled by a clock."""
    hour = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    hour += timedelta(hours=-hour.hour % _TICK_HOURS)
    found = []
    while hour <= now:
        found.append(hour)
        hour += timedelta(hours=_TICK_HOURS)
    # A label at the edge would be cut.
    return [each for each in found if timedelta(minutes=20) < each - start and now - each > timedelta(minutes=20)]


def _gaps(missing: Sequence[tuple[datetime, datetime]], scale: _Scale) -> Iterator[str]:
    for first, last in missing:
        x, end = scale.x(first), scale.x(last)
        yield f'<rect class="gap" x="{x}" y="{TOP}" width="{max(end - x, 1):.1f}" height="{BOTTOM - TOP}"/>'
        yield f'<path class="gap-edge" d="M{x} {BOTTOM}H{max(end, x + 1):.1f}"/>'


def _typical(series: Series, scale: _Scale) -> Iterator[str]:
    if series.typical:
        low, high = (scale.y(each) for each in series.typical)
        yield f'<rect class="typical" x="{LEFT}" y="{high}" width="{RIGHT - LEFT}" height="{max(low - high, 1):.1f}"/>'
    if series.record is not None:
        text = f"highest on record {words.number(series.record)}"
        if series.record <= scale.high:
            y = scale.y(series.record)
            yield f'<path class="record" d="M{LEFT} {y}H{RIGHT}"/>'
            yield f'<text class="on-record" x="{RIGHT}" y="{y - 4}" text-anchor="end">{text}</text>'
        else:
            yield f'<text class="on-record" x="{RIGHT}" y="12" text-anchor="end">↑ {text}</text>'


def _line(series: Series, scale: _Scale, missing: Sequence[tuple[datetime, datetime]]) -> Iterator[str]:
    pieces, dots = [], []
    last: datetime | None = None
    longest = None if series.interval is None else _GAP * series.interval
    for at, value in series.usable():
        x, y = scale.x(at), scale.y(value)
        broken = last is None or (longest is not None and at - last > longest and missing)
        pieces.append(f"{'M' if broken else 'L'}{x} {y}")
        dots.append(f"M{x} {y}h0")
        last = at
    yield f'<path class="line" d="{"".join(pieces)}"/>' if pieces else ""
    yield f'<path class="dots" d="{"".join(dots)}"/>' if dots else ""


def _bars(series: Series, scale: _Scale) -> Iterator[str]:
    wide = series.interval or _USUAL
    bars = []
    for at, value in series.usable():
        if value > 0:
            x, end = scale.x(at - wide), scale.x(at)
            bars.append(f"M{x + 0.4:.1f} {BOTTOM}V{scale.y(value)}H{max(end - 0.4, x + 1):.1f}V{BOTTOM}z")
    yield f'<path class="bars" d="{"".join(bars)}"/>' if bars else ""
    yield f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'


def _before(series: Series, scale: _Scale) -> Iterator[str]:
    """Yield a ring at each value before a correction, and a line to the value that it has now."""
    for at, value, before in zip(series.at, series.value, series.before, strict=True):
        if before is not None and isfinite(before):
            x, y = scale.x(at), scale.y(before)
            now = (
                f'<path class="before" d="M{x} {y}V{scale.y(value)}"/>' if value is not None and isfinite(value) else ""
            )
            yield f'{now}<circle class="before" cx="{x}" cy="{y}" r="3.5"/>'


def _marks(series: Series, scale: _Scale) -> Iterator[str]:
    """Yield a mark for each reading that is flagged or has no single value; outside the scale it is at its edge."""
    for row, (at, value, flag) in enumerate(zip(series.at, series.value, series.flag, strict=True)):
        x, mark = scale.x(at), _mark(value, flag)
        several = series.several(row) if mark == "no-value" else []
        if several:
            low, high = scale.y(min(several)), scale.y(max(several))
            yield f'<path class="several" d="M{x} {low}V{high}M{x - 3} {low}h6M{x - 3} {high}h6"/>'
        elif mark == "no-value" or value is None or not isfinite(value):
            yield f'<path class="no-value" d="M{x - 3} {BOTTOM - 3}l6 -6m-6 0l6 6"/>'
        elif mark == "fail":
            yield f'<path class="fail" d="M{x - 4} {scale.y(value) - 4}l8 8m-8 0l8 -8"/>'
        elif mark == "suspect":
            yield f'<path class="suspect" d="M{x - 4.5} {scale.y(value) + 4}h9l-4.5 -8z"/>'
