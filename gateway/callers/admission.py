"""Authorisation: key, account, rate, quota, in this order. Every API uses it; it knows none of them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

from gateway.callers.keys import Key, KeyStore
from gateway.errors import FaceTooSmall, KeyMissing, NoFace, RateLimited, RequestError, UpstreamUnavailable

log = logging.getLogger("vultus.admission")

CLOCK_SLACK_S = 1.0
# Failed calls cost no quota, so their time is limited, for each process by itself. That no face is there is an answer.
MS, NO_FAILURES = 1000, (NoFace, FaceTooSmall)
# A lost Redis must not block the callers' places.
REDIS_TIMEOUTS: dict[str, Any] = {"socket_timeout": 2, "socket_connect_timeout": 2}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The parts of a presented key. `identifier` only for APIs whose keys have a second, public part."""

    secret: str | None
    identifier: str | None = None
    paired: bool = False


class Admission:
    """Checks callers against the key store when keys are required."""

    def __init__(self, store: KeyStore, require_keys: bool | None, rate_storage_url: str, failed_s: float) -> None:
        self._store, self._require = store, require_keys
        timeouts = REDIS_TIMEOUTS if rate_storage_url.startswith("redis") else {}
        self._storage = storage_from_string(rate_storage_url, wrap_exceptions=True, **timeouts)
        self._limiter, self._failures = MovingWindowRateLimiter(self._storage), FixedWindowRateLimiter(MemoryStorage())
        self._failed_ms = RateLimitItemPerMinute(max(1, round(failed_s * MS)))
        self._latest_s, self._lock = 0.0, threading.Lock()

    @property
    def open(self) -> bool:
        """Whether anybody may call."""
        return not (self._store.any() if self._require is None else self._require)

    def know(self, api: str, credentials: Credentials) -> Key | None:
        """The caller's key, None when keys are not required. Raises KeyMissing, KeyInvalid, AccountSuspended, UpstreamUnavailable."""
        if self.open:
            return None
        if not credentials.secret or (credentials.paired and not credentials.identifier):
            raise KeyMissing
        return self._store.find(api, credentials.secret, credentials.identifier if credentials.paired else None)

    def check(self, api: str, credentials: Credentials) -> Key | None:
        """As `know`, and count the call against the key's rate. Raises RateLimited too, also when failed calls took too long."""
        key = self.know(api, credentials)
        if key is None:
            return None
        self._forget_after_clock_went_back()
        if key.rate_per_s is not None:
            self._check_rate(key, RateLimitItemPerSecond(key.rate_per_s), self._limiter, self._limiter.hit)
        self._check_rate(key, self._failed_ms, self._failures, self._failures.test)
        return key

    @contextmanager
    def admitted(self, api: str, credentials: Credentials) -> Iterator[Key | None]:
        """Check the key, then count the call against its quota, or its time as that of a failed one when it fails.

        Raises as `check`, and QuotaExceeded.
        """
        key = self.check(api, credentials)
        if key is None:
            yield None
            return
        began_s = time.monotonic()
        try:
            with self._store.counted(key):
                yield key
        except RequestError as problem:
            if not isinstance(problem, NO_FAILURES):
                self._failures.hit(self._failed_ms, str(key.id), cost=math.ceil((time.monotonic() - began_s) * MS))
            raise

    def _check_rate(self, key: Key, item: RateLimitItem, limiter: RateLimiter, allows: Callable[[RateLimitItem, str], bool]) -> None:
        try:
            if allows(item, str(key.id)):
                return
            reset, _ = limiter.get_window_stats(item, str(key.id))
        except StorageError as problem:
            log.error("call rates cannot be counted", exc_info=problem)
            raise UpstreamUnavailable("Call rates cannot be checked now.", retry_after_s=5) from None
        raise RateLimited(retry_after_s=max(1, math.ceil(reset - time.time())))

    def _forget_after_clock_went_back(self) -> None:
        """Calls that seem to lie in the future would keep a full window full until the clock is there again."""
        with self._lock:
            now_s, latest_s = time.time(), self._latest_s
            self._latest_s = now_s
        if now_s < latest_s - CLOCK_SLACK_S:
            for storage in (self._storage, self._failures.storage):
                if isinstance(storage, MemoryStorage):
                    storage.reset()
