"""Who may call: key, account, rate, quota, in this order. Used by every API, knows none."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from gateway.callers.keys import Key, KeyStore
from gateway.errors import KeyMissing, RateLimited, UpstreamUnavailable

log = logging.getLogger("vultus.admission")

# Number of the key that the current request was let in with, for its line in the log; whoever begins a request sets it to None.
CALLER: ContextVar[int | None] = ContextVar("caller", default=None)
CLOCK_SLACK_S = 1.0
# A Redis that is gone must not hold the places of those who call.
REDIS_TIMEOUTS: dict[str, Any] = {"socket_timeout": 2, "socket_connect_timeout": 2}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller presented. `identifier` only where an API has a second, public part."""

    secret: str | None
    identifier: str | None = None
    paired: bool = False


class Admission:
    """Checks callers against the key store when keys are required."""

    def __init__(self, store: KeyStore, require_keys: bool | None, rate_storage_url: str) -> None:
        self._store, self._require = store, require_keys
        timeouts = REDIS_TIMEOUTS if rate_storage_url.startswith("redis") else {}
        self._storage = storage_from_string(rate_storage_url, wrap_exceptions=True, **timeouts)
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._latest_s, self._lock = 0.0, threading.Lock()

    @property
    def open(self) -> bool:
        """Whether anybody may call."""
        return not (self._store.any() if self._require is None else self._require)

    def check(self, api: str, credentials: Credentials) -> Key | None:
        """The caller's key after the rate check; None when keys are not required.

        Raises KeyMissing, KeyInvalid, AccountSuspended, RateLimited, UpstreamUnavailable.
        """
        if self.open:
            return None
        if not credentials.secret or (credentials.paired and not credentials.identifier):
            raise KeyMissing
        key = self._store.find(api, credentials.secret, credentials.identifier if credentials.paired else None)
        CALLER.set(key.id)
        if key.rate_per_s is not None:
            self._check_rate(key, key.rate_per_s)
        return key

    @contextmanager
    def counted(self, key: Key | None) -> Iterator[None]:
        """Count the call against the quota unless it fails. Raises QuotaExceeded."""
        if key is None:
            yield
            return
        with self._store.counted(key):
            yield

    def _check_rate(self, key: Key, per_s: int) -> None:
        self._forget_after_clock_went_back()
        item = RateLimitItemPerSecond(per_s)
        try:
            if self._limiter.hit(item, str(key.id)):
                return
            reset, _ = self._limiter.get_window_stats(item, str(key.id))
        except StorageError as problem:
            log.error("call rates cannot be counted", exc_info=problem)
            raise UpstreamUnavailable("Call rates cannot be checked now.", retry_after_s=5) from None
        raise RateLimited(retry_after_s=max(1, math.ceil(reset - time.time())))

    def _forget_after_clock_went_back(self) -> None:
        """Calls that seem to lie in the future would keep a full window full until the clock is there again."""
        with self._lock:
            now_s, latest_s = time.time(), self._latest_s
            self._latest_s = now_s
        if now_s < latest_s - CLOCK_SLACK_S and isinstance(self._storage, MemoryStorage):
            self._storage.reset()
