"""Claims about when a client tries again, in which state it is, and when it gives up."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from stakewire.client.signalr import (
    ClientOptions,
    ConnectionLost,
    NotAuthorized,
    NotSupported,
    ReconnectSchedule,
    ServerAway,
    ServerClosed,
    State,
    WrongState,
)
from stakewire.client.signalr.lifecycle import Ending, Finish, Lifecycle, Reconnect, Resume

LOST = ConnectionLost("cut")
CUT = Ending(LOST, resumable=True)
STEADY = ClientOptions(
    reconnect=ReconnectSchedule(waits=(1.0, 2.0, 4.0), jitter=0),
    resume=ReconnectSchedule(waits=(0.0, 3.0), jitter=0),
)


def lifecycle(*, renews_token: bool = False, connected: bool = True, **options: Any) -> Lifecycle:
    life = Lifecycle(replace(STEADY, **options), random.Random(1), renews_token=renews_token)
    life.starting()
    if connected:
        life.connected(0.0)
    return life


def state_of(life: Lifecycle) -> State:
    return life.state


def test_waits_grow_and_then_repeat_for_ever() -> None:
    """The last wait of the schedule is used as often as it takes."""
    schedule = ReconnectSchedule(waits=(1.0, 5.0), jitter=0)
    assert [schedule.wait(n, random.Random(1)) for n in range(4)] == [1.0, 5.0, 5.0, 5.0]
    assert schedule.wait(10**6, random.Random(1)) == 5.0


def test_jitter_spreads_the_waits() -> None:
    """Around the wait, by the share given, differently for each client."""
    schedule = ReconnectSchedule(waits=(10.0,), jitter=0.5)
    waits = [schedule.wait(0, random.Random(seed)) or 0 for seed in range(500)]
    assert min(waits) >= 5
    assert max(waits) <= 15
    assert len({round(wait) for wait in waits}) > 8


def test_a_lost_connection_is_made_anew_until_it_stands() -> None:
    """Each failure waits longer; a connection that lived long enough starts the schedule anew."""
    life = lifecycle()
    assert life.lost(CUT, 100.0, resumable=False) == Reconnect(1.0)
    assert state_of(life) is State.RECONNECTING
    assert life.attempt_failed(ServerAway("away")) == Reconnect(2.0)
    assert life.attempt_failed(NotSupported("a deployment in progress")) == Reconnect(4.0)
    life.connected(200.0)
    assert state_of(life) is State.CONNECTED
    assert life.lost(CUT, 201.0, resumable=False) == Reconnect(4.0), "it lived for a second only"
    life.connected(300.0)
    assert life.lost(CUT, 306.0, resumable=False) == Reconnect(1.0)


def test_a_cut_connection_is_resumed_where_it_can_be() -> None:
    """Again and again within its time, then a new connection is made."""
    life = lifecycle(resume_seconds=10.0)
    assert life.lost(CUT, 100.0, resumable=True) == Resume(0.0)
    assert state_of(life) is State.RESUMING
    assert life.resume_failed(ServerAway("away"), 100.5, gone=False) == Resume(3.0)
    assert life.resume_failed(ServerAway("away"), 104.0, gone=False) == Resume(3.0)
    assert life.resume_failed(ServerAway("away"), 108.0, gone=False) == Reconnect(1.0)
    assert state_of(life) is State.RECONNECTING


def test_a_server_that_cuts_every_resumption_does_not_hold_it_up_for_ever() -> None:
    """The time counts from the first cut until the connection really goes on."""
    life = lifecycle(resume_seconds=10.0)
    assert life.lost(CUT, 100.0, resumable=True) == Resume(0.0)
    assert life.lost(CUT, 101.0, resumable=True) == Resume(3.0)
    assert life.lost(CUT, 109.0, resumable=True) == Reconnect(1.0)


def test_after_a_resumption_the_time_begins_anew() -> None:
    """And the reconnect schedule is where it was."""
    life = lifecycle(resume_seconds=10.0)
    life.lost(CUT, 100.0, resumable=True)
    life.connected(105.0)
    assert state_of(life) is State.CONNECTED
    assert life.lost(CUT, 200.0, resumable=True) == Resume(0.0)


def test_a_connection_the_server_has_given_up_is_not_resumed() -> None:
    """It is made anew at once."""
    life = lifecycle()
    life.lost(CUT, 100.0, resumable=True)
    assert life.resume_failed(LOST, 100.1, gone=True) == Reconnect(1.0)
    orderly = Ending(LOST)
    assert lifecycle().lost(orderly, 1.0, resumable=True) == Reconnect(1.0)


def test_a_close_without_allow_reconnect_is_final() -> None:
    """Whatever the schedule says."""
    error = ServerClosed("banned")
    assert lifecycle().lost(Ending(error, reconnect=False), 1.0, resumable=True) == Finish(error)


def test_a_schedule_that_ends_gives_up_with_the_last_error() -> None:
    """Attempts are counted over one loss."""
    life = lifecycle(reconnect=ReconnectSchedule(waits=(1.0,), jitter=0, attempts=2))
    assert life.lost(CUT, 1.0, resumable=False) == Reconnect(1.0)
    assert life.attempt_failed(LOST) == Reconnect(1.0)
    last = ServerAway("still away")
    assert life.attempt_failed(last) == Finish(last)


def test_the_first_attempt_fails_the_start() -> None:
    """Unless `retry_start` is set and the server is just away."""
    away, refused = ServerAway("away"), NotAuthorized("401")
    assert lifecycle(connected=False).attempt_failed(away) == Finish(away)
    patient = lifecycle(connected=False, retry_start=True, renews_token=True)
    assert patient.attempt_failed(away) == Reconnect(1.0)
    assert patient.state is State.CONNECTING
    assert patient.attempt_failed(refused) == Finish(refused)


def test_a_refused_token_is_worth_another_attempt_only_if_it_may_change() -> None:
    """While reconnecting."""
    refused = NotAuthorized("401")
    steady, renewing = lifecycle(), lifecycle(renews_token=True)
    steady.lost(CUT, 1.0, resumable=False)
    renewing.lost(CUT, 1.0, resumable=False)
    assert steady.attempt_failed(refused) == Finish(refused)
    assert renewing.attempt_failed(refused) == Reconnect(2.0)


def test_only_what_is_disconnected_can_be_started() -> None:
    """The error says in which state it is."""
    life = lifecycle()
    with pytest.raises(WrongState, match="connected"):
        life.starting()
    life.stopping()
    with pytest.raises(WrongState, match="stopping"):
        life.starting()
    life.stopped()
    life.starting()
