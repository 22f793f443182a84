"""Requests through gateways and Tritons, as queues.

A request arrives at a random moment (Poisson), goes to a random gateway, is refused there when all its places are taken, else decodes on
one of the gateway's cores, then computes on one of the servers of a random Triton, and leaves. Work per image varies around its
measured mean as a gamma distribution with the measured coefficient of variation.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy


@dataclass(frozen=True, slots=True)
class Work:
    """Mean milliseconds that one image occupies one server of a tier, and their coefficient of variation."""

    mean_ms: float
    variation: float = 1.0

    def draw_s(self, chance: random.Random) -> float:
        """One image's seconds."""
        if self.variation == 0:
            return self.mean_ms / 1e3
        shape = self.variation**-2
        return chance.gammavariate(shape, self.mean_ms / 1e3 / shape)


@dataclass(frozen=True, slots=True)
class Deployment:
    """`places`: requests that one gateway holds at a time. `servers`: what works at once in one Triton (cores, or model instances)."""

    gateways: int
    cores: int
    places: int
    tritons: int
    servers: int
    decoding: Work
    inference: Work
    deadline_s: float = 9.0

    @property
    def limit_per_s(self) -> float:
        """Images a second that no arrangement of queues can exceed."""
        return min(
            self.gateways * self.cores / self.decoding.mean_ms * 1e3,
            self.tritons * self.servers / self.inference.mean_ms * 1e3,
        )


@dataclass(slots=True)
class Outcome:
    """What became of the requests that arrived in the measured time."""

    seconds: float
    answered_s: list[float] = field(default_factory=list)
    refused: int = 0
    late: int = 0

    @property
    def per_s(self) -> float:
        """Answers in time, a second."""
        return len(self.answered_s) / self.seconds

    @property
    def refused_share(self) -> float:
        """Of all requests, those refused or answered too late."""
        lost = self.refused + self.late
        return lost / max(1, lost + len(self.answered_s))

    def latency_ms(self, share: float) -> float:
        """Quantile of the time to answer."""
        return float(np.quantile(self.answered_s, share)) * 1e3 if self.answered_s else float("nan")


def simulate(deployment: Deployment, rate_per_s: float, seconds: float = 60.0, warm_up_s: float = 10.0, seed: int = 1) -> Outcome:
    """Let requests arrive for `warm_up_s`, then for the measured `seconds`."""
    chance, world = random.Random(seed), simpy.Environment()  # noqa: S311  a simulation, no secret
    gateways = [simpy.Resource(world, deployment.cores) for _ in range(deployment.gateways)]
    tritons = [simpy.Resource(world, deployment.servers) for _ in range(deployment.tritons)]
    held = [0] * deployment.gateways
    outcome = Outcome(seconds)

    def request(number: int) -> Generator[simpy.Event, Any, None]:
        arrived = world.now
        held[number] += 1
        with gateways[number].request() as core:
            yield core
            yield world.timeout(deployment.decoding.draw_s(chance))
        with chance.choice(tritons).request() as server:
            yield server
            yield world.timeout(deployment.inference.draw_s(chance))
        held[number] -= 1
        if arrived >= warm_up_s:
            if world.now - arrived > deployment.deadline_s:
                outcome.late += 1
            else:
                outcome.answered_s.append(world.now - arrived)

    def arrivals() -> Generator[simpy.Event, Any, None]:
        while True:
            yield world.timeout(chance.expovariate(rate_per_s))
            if world.now > warm_up_s + seconds:
                return
            number = chance.randrange(deployment.gateways)
            if held[number] < deployment.places:
                world.process(request(number))
            elif world.now >= warm_up_s:
                outcome.refused += 1

    world.process(arrivals())
    world.run()
    return outcome
