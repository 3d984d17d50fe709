"""Numbers: the outer planets fall around the sun. Floats come and go, nothing is larger than 512 bytes."""

from math import sqrt, tau

import pyhost

Body = list[float]
"""Place x, y, z, velocity x, y, z, mass; units: astronomical unit, year, the sun's mass."""

PLANETS = ((5.20, 9.55e-4, 0.023), (9.54, 2.86e-4, 0.043), (19.19, 4.37e-5, 0.013), (30.07, 5.15e-5, 0.031))
"""Distance to the sun, mass, and how steep the orbit is."""

STEP = 0.01
"""Years."""


@pyhost.export
def run(size: int) -> int:
    """Take ``size`` steps; the energy that is left, in units of 1e-15."""
    bodies = make_bodies()
    pairs = [(one, other) for index, one in enumerate(bodies) for other in bodies[index + 1 :]]
    advance(bodies, pairs, size)
    return round(energy(bodies, pairs) * 1e15)


def make_bodies() -> list[Body]:
    """The sun, and the planets on circles a quarter turn apart."""
    bodies: list[Body] = [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]
    for index, (distance, mass, steepness) in enumerate(PLANETS):
        x, y = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[index]
        speed = tau / sqrt(distance)
        bodies.append([distance * x, distance * y, 0.0, -speed * y, speed * x, speed * steepness, mass])
    return bodies


def advance(bodies: list[Body], pairs: list[tuple[Body, Body]], steps: int) -> None:
    """Let everything attract everything."""
    pull = tau * tau * STEP
    for _ in range(steps):
        for one, other in pairs:
            x, y, z = one[0] - other[0], one[1] - other[1], one[2] - other[2]
            square = x * x + y * y + z * z
            force = pull / (square * sqrt(square))
            towards, away = force * other[6], force * one[6]
            one[3] -= x * towards
            one[4] -= y * towards
            one[5] -= z * towards
            other[3] += x * away
            other[4] += y * away
            other[5] += z * away
        for body in bodies:
            body[0] += STEP * body[3]
            body[1] += STEP * body[4]
            body[2] += STEP * body[5]


def energy(bodies: list[Body], pairs: list[tuple[Body, Body]]) -> float:
    """Of motion and place together; the attraction changes it by little."""
    moving = sum(0.5 * body[6] * (body[3] * body[3] + body[4] * body[4] + body[5] * body[5]) for body in bodies)
    falling = 0.0
    for one, other in pairs:
        x, y, z = one[0] - other[0], one[1] - other[1], one[2] - other[2]
        falling += tau * tau * one[6] * other[6] / sqrt(x * x + y * y + z * z)
    return moving - falling
