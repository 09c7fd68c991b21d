"""Model the ground: England's outline, coast and tides, rivers and towns, the National Grid.

Shapes only: the names are from `names`. `network` places the gauges, `weather` moves the water.
"""

from dataclasses import dataclass

import numpy as np

from flood_assets.simulator import names
from flood_assets.simulator.chance import Bools, Floats, Ints, between, key, uniform

# longitude, latitude, anticlockwise from Berwick by way of Wales; the land borders are the pieces marked "inland".
_OUTLINE = np.array([
    (-2.03, 55.81), (-2.34, 55.64), (-2.15, 55.47), (-2.60, 55.28), (-3.05, 54.98), (-3.50, 54.72), (-3.63, 54.49),
    (-3.22, 54.10), (-2.87, 54.08), (-3.06, 53.82), (-3.10, 53.56), (-3.03, 53.45), (-3.20, 53.38), (-2.95, 53.18),
    (-3.10, 52.85), (-3.05, 52.35), (-3.12, 52.08), (-3.07, 51.95), (-2.65, 51.83), (-2.66, 51.63), (-2.71, 51.51),
    (-2.99, 51.34), (-3.47, 51.21), (-4.12, 51.21), (-4.53, 51.02), (-4.55, 50.83), (-4.95, 50.58), (-5.08, 50.42),
    (-5.48, 50.22), (-5.71, 50.07), (-5.20, 49.96), (-5.03, 50.14), (-4.63, 50.33), (-4.14, 50.33), (-3.64, 50.22),
    (-3.48, 50.40), (-3.41, 50.61), (-2.93, 50.72), (-2.45, 50.52), (-1.95, 50.60), (-1.88, 50.71), (-1.40, 50.85),
    (-1.10, 50.78), (-0.79, 50.72), (-0.14, 50.82), (0.24, 50.74), (0.58, 50.85), (0.97, 50.91), (1.32, 51.12),
    (1.41, 51.22), (1.40, 51.39), (0.76, 51.44), (0.45, 51.47), (0.72, 51.53), (0.95, 51.60), (1.18, 51.79),
    (1.35, 51.95), (1.57, 52.08), (1.76, 52.48), (1.53, 52.82), (1.30, 52.93), (0.85, 52.96), (0.49, 52.95),
    (0.37, 52.80), (0.08, 52.93), (0.35, 53.14), (0.27, 53.34), (0.00, 53.55), (0.14, 53.58), (-0.16, 53.91),
    (-0.08, 54.12), (-0.38, 54.28), (-0.60, 54.49), (-1.17, 54.69), (-1.40, 55.02), (-1.55, 55.33), (-1.70, 55.61),
])  # fmt: skip
_INLAND = {0, 1, 2, 3, *range(13, 20)}  # pieces that start at these points are the Scottish and the Welsh border

# longitude, latitude, amplitude in m and phase in degrees of the lunar semidiurnal tide (M2), roughly
_TIDES = np.array([
    (-5.54, 50.10, 1.7, 133), (-2.71, 51.51, 4.2, 200), (-4.12, 51.21, 3.0, 162), (-3.02, 53.45, 3.1, 323),
    (-2.91, 54.03, 3.2, 325), (-3.57, 54.65, 2.7, 334), (-4.19, 50.37, 1.7, 152), (-2.45, 50.61, 0.6, 190),
    (-1.11, 50.80, 1.4, 325), (1.32, 51.11, 2.2, 332), (0.74, 51.44, 2.0, 1), (1.75, 52.47, 0.7, 258),
    (1.30, 52.93, 1.6, 188), (-0.19, 53.63, 2.3, 163), (-0.61, 54.49, 1.65, 107), (-1.44, 55.01, 1.6, 87),
])  # fmt: skip

RIVERS, REACHES = 150, 4


def to_grid(lat: Floats, long: Floats) -> tuple[Floats, Floats]:
    """Convert WGS 84 coordinates to easting and northing in metres on the British National Grid, to some metres.

    Uses a seven-parameter shift to the Airy ellipsoid, then the Ordnance Survey's transverse Mercator series.
    """
    phi, lam = np.radians(lat), np.radians(long)
    a, e2 = 6378137.0, 0.00669437999014
    nu = a / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    point = np.stack([nu * np.cos(phi) * np.cos(lam), nu * np.cos(phi) * np.sin(lam), (1 - e2) * nu * np.sin(phi)])
    rx, ry, rz = np.radians(np.array([-0.1502, -0.2470, -0.8421]) / 3600)
    turn = np.array([[1 + 20.4894e-6, -rz, ry], [rz, 1 + 20.4894e-6, -rx], [-ry, rx, 1 + 20.4894e-6]])
    x, y, z = turn @ point.reshape(3, -1) + np.array([[-446.448], [125.157], [-542.060]])
    a, b = 6377563.396, 6356256.909
    e2 = 1 - (b / a) ** 2
    flat = np.hypot(x, y)
    phi = np.arctan2(z, flat * (1 - e2))
    for _ in range(4):
        phi = np.arctan2(z + e2 * a / np.sqrt(1 - e2 * np.sin(phi) ** 2) * np.sin(phi), flat)
    easting, northing = _mercator(phi, np.arctan2(y, x), a, b)
    return easting.reshape(np.shape(lat)), northing.reshape(np.shape(lat))


def _mercator(phi: Floats, lam: Floats, a: float, b: float) -> tuple[Floats, Floats]:
    f0, phi0, lam0, n = 0.9996012717, np.radians(49.0), np.radians(-2.0), (a - b) / (a + b)
    e2 = 1 - (b / a) ** 2
    s, c, t = np.sin(phi), np.cos(phi), np.tan(phi)
    nu = a * f0 / np.sqrt(1 - e2 * s**2)
    rho = a * f0 * (1 - e2) / (1 - e2 * s**2) ** 1.5
    eta = nu / rho - 1
    d, u = phi - phi0, phi + phi0
    arc = (1 + n + 1.25 * n**2 + 1.25 * n**3) * d - (3 * n + 3 * n**2 + 2.625 * n**3) * np.sin(d) * np.cos(u)
    arc += 1.875 * (n**2 + n**3) * np.sin(2 * d) * np.cos(2 * u) - 35 / 24 * n**3 * np.sin(3 * d) * np.cos(3 * u)
    away = lam - lam0
    northing = b * f0 * arc - 100_000 + nu / 2 * s * c * away**2 + nu / 24 * s * c**3 * (5 - t**2 + 9 * eta) * away**4
    easting = 400_000 + nu * c * away + nu / 6 * c**3 * (nu / rho - t**2) * away**3
    easting += nu / 120 * c**5 * (5 - 18 * t**2 + t**4 + 14 * eta - 58 * t**2 * eta) * away**5
    return easting, northing


def grid_reference(easting: int, northing: int, digits: int = 5) -> str:
    """Return the grid reference of a point: two letters and twice `digits` figures, such as `SE4279353042`."""
    column, row = easting // 100_000, northing // 100_000
    first = (19 - row) - (19 - row) % 5 + (column + 10) // 5
    second = (19 - row) * 5 % 25 + column % 5
    letters = "".join(chr(ord("A") + n + (n > 7)) for n in (first, second))  # the grid has no letter I
    unit: int = 10 ** (5 - digits)
    return f"{letters}{easting % 100_000 // unit:0{digits}d}{northing % 100_000 // unit:0{digits}d}"


def inside(long: Floats, lat: Floats) -> Bools:
    """Return a mask of points inside England, by counting how often a ray to the east crosses the outline."""
    x0, y0 = _OUTLINE.T
    x1, y1 = np.roll(_OUTLINE, -1, axis=0).T
    slope = (x1 - x0) / np.where(y1 == y0, 1, y1 - y0)  # a level piece is never crossed
    x, y = long[..., None], lat[..., None]
    crosses = (y0 > y) != (y1 > y)
    return np.asarray((crosses & (x < x0 + (y - y0) * slope)).sum(axis=-1) % 2 == 1)


def scatter(start: int, number: Ints) -> tuple[Floats, Floats]:
    """Return longitude and latitude of a point in England for each number: the first of ten tries on land."""
    tries = np.arange(10)
    long = between(-5.75, 1.8, start, number[:, None], 2 * tries)
    lat = between(49.95, 55.85, start, number[:, None], 2 * tries + 1)
    chosen = inside(long, lat).argmax(axis=1)
    lost = ~inside(long, lat).any(axis=1)
    row = np.arange(number.size)
    # If all ten tries fell into the sea, the point is placed in the Midlands.
    return np.where(lost, -1.5, long[row, chosen]), np.where(lost, 52.7, lat[row, chosen])


def _coast() -> tuple[Floats, Floats]:
    """Return longitude and latitude of points a few kilometres apart along the coast."""
    ends = np.roll(_OUTLINE, -1, axis=0)
    pieces = [
        _OUTLINE[i] + np.linspace(0, 1, 4)[:-1, None] * (ends[i] - _OUTLINE[i])
        for i in range(len(_OUTLINE))
        if i not in _INLAND
    ]
    joined = np.concatenate(pieces)
    return joined[:, 0], joined[:, 1]


def tide_at(long: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Return amplitude (m) and phase (radians) of the M2 tide, interpolated between ports by inverse distance."""
    distance = ((long[:, None] - _TIDES[:, 0]) * 0.62) ** 2 + (lat[:, None] - _TIDES[:, 1]) ** 2
    weight = 1 / (distance**1.5 + 1e-4)
    weight /= weight.sum(axis=1, keepdims=True)
    turn = (weight * np.exp(1j * np.radians(_TIDES[:, 3]))).sum(axis=1)
    return weight @ _TIDES[:, 2], np.angle(turn)


@dataclass(frozen=True)
class Ground:
    """Rivers and towns of one seed.

    Attributes:
        coast: longitude and latitude of points along the coast.
        source: longitude and latitude of each river's source, shape (rivers, 2).
        mouth: the same of its mouth, on the coast.
        bend: distance of its bend from the straight line, in degrees.
        rivers: for each river the names of it, its catchment, its county and its towns.
        towns: names of the towns of all rivers, river by river.
        town_at: longitude and latitude of each town, shape (towns, 2).
        first_town: for each river the number of its first town, and the number of towns last, shape (rivers + 1,).
    """

    coast: tuple[Floats, Floats]
    source: Floats
    mouth: Floats
    bend: Floats
    rivers: list[names.River]
    towns: list[str]
    town_at: Floats
    first_town: Ints

    def along(self, river: Ints, share: Floats) -> tuple[Floats, Floats]:
        """Return longitude and latitude at a share (0 source, 1 mouth) of rivers."""
        return _along(self.source[river], self.mouth[river], self.bend[river], share)

    def town_of(self, long: Floats, lat: Floats) -> Ints:
        """Return the nearest town of each point."""
        away = ((long[:, None] - self.town_at[:, 0]) * 0.62) ** 2 + (lat[:, None] - self.town_at[:, 1]) ** 2
        return np.asarray(away.argmin(axis=1))

    def town_on(self, river: Ints, share: Floats) -> Ints:
        """Return the town at a share (0 source, 1 mouth) of rivers."""
        first, end = self.first_town[river], self.first_town[river + 1]
        return first + (share * (end - first)).astype(np.int64)


def _along(start: Floats, end: Floats, bend: Floats, share: Floats) -> tuple[Floats, Floats]:
    way = end - start
    swing = bend * np.sin(share * 3 * np.pi) * (1 - share)
    length = np.hypot(way[..., 0], way[..., 1]) + 1e-9
    long = start[..., 0] + share * way[..., 0] - swing * way[..., 1] / length
    lat = start[..., 1] + share * way[..., 1] + swing * way[..., 0] / length
    return long, lat


def ground(seed: int) -> Ground:
    """Make the rivers and towns of a seed: each river rises near the real one and reaches the coast over land."""
    coast = _coast()
    number = np.arange(RIVERS)
    thames, *others = names.rivers()
    order = np.argsort(uniform(key(seed, "river names"), np.arange(len(others))))
    rivers = [thames, *(others[each] for each in order[: RIVERS - 1])]
    known = np.array([(river.long, river.lat) for river in rivers]).T
    long, lat = known + between(-0.1, 0.1, key(seed, "source"), number, np.arange(2)[:, None])
    long, lat = np.where(inside(long, lat), (long, lat), known)
    (long[0], lat[0]), estuary = names.THAMES
    away = np.hypot((long[:, None] - coast[0]) * 0.62, lat[:, None] - coast[1])
    reach = np.linspace(0.15, 0.85, 5)
    over_land = np.ones(away.shape, dtype=np.bool_)
    for share in reach:
        over_land &= inside(
            long[:, None] + share * (coast[0] - long[:, None]), lat[:, None] + share * (coast[1] - lat[:, None])
        )
    # A long way to the sea is as likely as a short one, else all rivers would be coastal streams.
    preference = away * np.where(over_land, between(0.3, 1.7, key(seed, "mouth"), number)[:, None], 100)
    target = between(0.4, 1.6, key(seed, "length"), number)
    chosen = np.abs(preference - target[:, None] * np.where(over_land, 1, 0)).argmin(axis=1)
    chosen[0] = np.hypot(*(np.stack(coast) - np.array(estuary)[:, None])).argmin()
    source, mouth = np.stack([long, lat], axis=1), np.stack([coast[0][chosen], coast[1][chosen]], axis=1)
    bend = between(-0.06, 0.06, key(seed, "bend"), number)
    towns = np.array([len(river.towns) for river in rivers])
    of = np.repeat(number, towns)
    share = np.concatenate([(np.arange(each) + 0.5) / each for each in towns])
    return Ground(
        coast=coast,
        source=source,
        mouth=mouth,
        bend=bend,
        rivers=rivers,
        towns=[town for river in rivers for town in river.towns],
        town_at=np.stack(_along(source[of], mouth[of], bend[of], share), axis=1),
        first_town=np.concatenate([[0], np.cumsum(towns)]),
    )
