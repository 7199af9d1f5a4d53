"""The callback worker: looks which clients have something due, and wakes their lanes."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime

import structlog

from stakewire.sportsbook.delivery.lane import Lane, Shared

_log = structlog.get_logger(__name__)

POLL = 1.0
_SHORTEST = 0.01
_LAST_WRITE = 5.0


class CallbackWorker:
    """Delivers results and rollbacks, in any number of processes at once.

    It polls every second; `wake` (after a commit in this process) and the database's NOTIFY
    (`listen` of the store) make it look at once. Nothing depends on either.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._lanes: dict[int, Lane] = {}
        self._look = shared.look

    def wake(self) -> None:
        """Something may be due now."""
        self._look.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is in flight and write it down."""
        recording = asyncio.create_task(self._shared.recorder.run(), name="callback recorder")
        stopper = asyncio.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                self._look.clear()
                pause = await self._wake_lanes()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), pause)
            grace = self._shared.limits.timeout + _LAST_WRITE
            await asyncio.gather(*(lane.stop(grace) for lane in self._lanes.values()))
            with contextlib.suppress(TimeoutError):  # without a database the leases run out instead
                await asyncio.wait_for(self._shared.recorder.flushed(), _LAST_WRITE)
        finally:
            for lane in self._lanes.values():
                lane.cancel()
            stopper.cancel()
            recording.cancel()
            await asyncio.gather(stopper, recording, return_exceptions=True)

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._look.set()

    async def _wake_lanes(self) -> float:
        """Wake the lanes with something due; give the seconds until the next look."""
        try:
            waiting = await self._shared.outbox.waiting()
        except Exception as fault:
            _log.warning("callbacks wait for the database", error=str(fault) or type(fault).__name__)
            return POLL
        now = self._shared.clock.now()
        pause = POLL
        present = set()
        for client in waiting:
            present.add(client.client_id)
            if client.due_at <= now:
                self._lane(client.client_id).wake()
            else:
                pause = min(pause, _until(client.due_at, now))
        self._forget_idle(present)
        return pause

    def _lane(self, client_id: int) -> Lane:
        lane = self._lanes.get(client_id)
        if lane is None:
            lane = self._lanes[client_id] = Lane(client_id, self._shared)
        return lane

    def _forget_idle(self, present: set[int]) -> None:
        """Keep lanes only for clients that have something to send."""
        for client_id in [key for key, lane in self._lanes.items() if key not in present and lane.idle]:
            del self._lanes[client_id]


def _until(due_at: datetime, now: datetime) -> float:
    return max((due_at - now).total_seconds(), _SHORTEST)
