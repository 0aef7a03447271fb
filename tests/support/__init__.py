"""What several tests share: time by hand, settings in one line, one way to run a coroutine."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from proxy.config import ServiceSettings, from_env

T = TypeVar("T")


class FakeClock:
    """Stands still until told; a sleep takes no time and moves it on."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds

    async def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)
        await asyncio.sleep(0)


def service_settings(**variables: str) -> ServiceSettings:
    """The settings of one service: `service_settings(BALANCER="random")`, the rest by default."""
    env = {"TARGET": "static://127.0.0.1:1"} | variables
    return from_env({f"HEADWAY_{name}": value for name, value in env.items()}).settings.services[0]


def run(story: Coroutine[Any, Any, T], within_s: float = 60.0) -> T:
    """Run `story` on the loop that the product uses; TimeoutError when it hangs."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            return await story

    return uvloop.run(bounded())


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is true; whoever runs the story bounds the time."""
    while True:
        if await look():
            return
        await asyncio.sleep(0.01)


async def until(look: Callable[[], object]) -> None:
    """The same for what can be seen without waiting."""
    while True:
        if look():
            return
        await asyncio.sleep(0.001)
