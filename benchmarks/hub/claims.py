"""The hub's figures against its peers', each with its goal beside it: `python -m benchmarks.hub.claims`.

One message of 2.7 KB to many subscribers, over loopback: the network's part is missing for all alike. Each
server is one process pinned to one core (nginx: a worker, and its master, which sleeps); the reader polls
on the other, and checks every message. All contestants take their turn in every round; figures are medians
of the rounds.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.hub import nchan
from benchmarks.hub.running import (
    AIOSIGNALR,
    BARE,
    HUB,
    NCHAN,
    PORTABLE_HUB,
    STARLETTE,
    WEBSOCKETS,
    Seen,
    Stage,
)
from benchmarks.machine import Series, describe_machine, progress, versions

from stakewire.net.signalr.sending import best_sender

MANY, SOME = 10_000, 1_000
PACED, TICK, FLOOD = 0.02, 0.5, 0.0  # seconds between two messages
Figure = Callable[[Seen], float]


def cpu_us(seen: Seen) -> float:
    return seen.cpu_us


def p99_ms(seen: Seen) -> float:
    return seen.p99_ms


def series(seen: list[Seen], figure: Figure) -> Series:
    return Series([figure(one) for one in seen])


def ratio(ours: list[Seen], theirs: list[Seen], figure: Figure) -> str:
    """Round by round, so that what slowed a round down slowed both."""
    return Series([figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True)]).show(2) + " x"


def line(what: str, figure: str, goal: str = "") -> None:
    print(f"  {what:<52} {figure:<40} {'goal: ' + goal if goal else ''}".rstrip())


def in_turn(what: str, rounds: int, runs: dict[str, Callable[[], Seen]]) -> dict[str, list[Seen]]:
    """Every run once in each round."""
    seen: dict[str, list[Seen]] = {name: [] for name in runs}
    for number in range(1, rounds + 1):
        progress(f"{what}, round {number} of {rounds}")
        for name, run in runs.items():
            seen[name].append(run())
    return seen


def cpu(stage: Stage, rounds: int) -> None:
    """CPU per delivered message, the peers in turn."""
    contestants = {
        "hub": HUB,
        "hub, a system call for each": PORTABLE_HUB,
        "nchan, in C": NCHAN,
        "aiosignalr": AIOSIGNALR,
        "Starlette on uvicorn, loop": STARLETTE,
        "websockets, broadcast": WEBSOCKETS,
    }
    if not nchan.installed():
        print("  nchan is not installed, and left out: apt-get install nginx libnginx-mod-nchan")
        del contestants["nchan, in C"]
    seen = in_turn(
        "CPU per message",
        rounds,
        {
            name: partial(stage.measure, one, every=PACED, count=SOME, warmup=0.5, seconds=1.8)
            for name, one in contestants.items()
        },
    )
    print(f"CPU per delivered message, {SOME:,} subscribers, {1 / PACED:.0f} messages/s each")
    for name, runs in seen.items():
        rate = series(runs, lambda one: one.rate).median
        latency = f"{rate:,.0f} messages/s, p99 {series(runs, p99_ms).show(1)} ms"
        print(f"  {name:<52} {series(runs, cpu_us).show(2) + ' us':<40} {latency}")
    for peer, goal in (("nchan, in C", "at most 1"), ("aiosignalr", "at most 0.33")):
        if peer in seen:
            line(f"hub / {peer}", ratio(seen["hub"], seen[peer], cpu_us), goal)
            line(
                f"hub, a system call for each / {peer}",
                ratio(seen["hub, a system call for each"], seen[peer], cpu_us),
            )


def variants(stage: Stage, rounds: int) -> None:
    """What shared compression and a number of one's own cost."""
    run = partial(stage.measure, every=PACED, count=SOME, warmup=0.5, seconds=1.8)
    numbered = replace(HUB, words=("numbered",))
    seen = in_turn(
        "compressed and numbered",
        rounds,
        {
            "plain": partial(run, HUB),
            "deflated": partial(run, HUB, deflate=1),
            "numbered": partial(run, numbered, numbered=1),
        },
    )
    print("Shared compression, and a number per subscriber")
    plain, deflated = seen["plain"], seen["deflated"]
    sizes = [series(runs, lambda one: one.message_bytes).median for runs in (plain, deflated)]
    line(
        f"bytes, {sizes[0]:,.0f} against {sizes[1]:,.0f}", f"{sizes[0] / sizes[1]:.2f} x fewer", "at least 6"
    )
    line("CPU, compressed / plain", ratio(deflated, plain, cpu_us), "at most 1.2")
    line("CPU, numbered / plain", ratio(seen["numbered"], plain, cpu_us), "at most 1.15")


def crowd(stage: Stage, rounds: int) -> None:
    """Ten thousand clients, as browsers connect; in one run of them 1,000 are cut."""
    run = partial(stage.measure, HUB, every=TICK, count=MANY, negotiate=1, warmup=1, seconds=4)
    seen = in_turn("10,000 clients", rounds, {"calm": run, "cut": partial(run, drop=1_000)})
    calm, cut = seen["calm"], seen["cut"]
    print(f"{MANY:,} subscribers, a message every {TICK * 1000:.0f} ms")
    line("p50 of delivery", series(calm, lambda one: one.p50_ms).show(1) + " ms")
    line("p99 of delivery", series(calm, p99_ms).show(1) + " ms", "at most 100")
    line("share of the core", series(calm, lambda one: one.core_percent).show(1) + " %", "at most 20")
    line("memory a connection", series(calm, lambda one: one.kb_per_client).show(1) + " KB", "at most 6")
    line("messages missed", f"{sum(one.missed + one.behind for one in calm):,}", "0")
    line("connect, negotiate, shake hands, subscribe",
         series(calm + cut, lambda one: one.connect_seconds).show(2) + " s", "at most 4")  # fmt: skip
    line("1,000 cut at once: the last has the current state after",
         series(cut, lambda one: one.back_seconds).show(2) + " s", "at most 3")  # fmt: skip
    line("the others meanwhile: messages missed", f"{sum(one.missed + one.behind for one in cut):,}", "0")
    line("the others meanwhile: p99 of delivery", series(cut, p99_ms).show(1) + " ms")


def flood(stage: Stage, rounds: int) -> None:
    """As fast as one core can."""
    run = partial(stage.measure, every=FLOOD, count=SOME, warmup=0.7, seconds=2)
    # All that wait to be upgraded are let in one by one before the bare loop begins.
    bare = partial(run, BARE, window=SOME)
    seen = in_turn("as fast as possible", rounds, {"hub": partial(run, HUB), "bare": bare})
    hub, kernel = seen["hub"], seen["bare"]
    print(f"As fast as possible, {SOME:,} subscribers")
    line("messages/s", series(hub, lambda one: one.rate).show(), "at least 190,000")
    line("CPU per delivered message", series(hub, cpu_us).show(2) + " us")
    line("a bare loop of send() in C: messages/s", series(kernel, lambda one: one.rate).show())
    line("hub / bare loop, CPU", ratio(hub, kernel, cpu_us))


def stuck(stage: Stage, rounds: int) -> None:
    """Readers that stop reading, and the others."""
    run = partial(stage.measure, HUB, every=PACED, count=SOME, warmup=0.5, seconds=2)
    share = SOME // 20
    seen = in_turn("stuck readers", rounds, {"none": run, "stuck": partial(run, stuck=share)})
    print(f"{share} of {SOME:,} readers stuck, {1 / PACED:.0f} messages/s")
    line("p99 of the others / p99 without", ratio(seen["stuck"], seen["none"], p99_ms), "at most 1.1")
    line("messages that the others missed", f"{sum(one.missed for one in seen['stuck']):,}", "0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS], action="append")
    # `python -m benchmarks` runs all parts with their defaults, so that its own arguments are not read here.
    chosen, _ = parser.parse_known_args()
    print(describe_machine())
    print(versions("stakewire", "uvloop", "msgspec", "aiosignalr", "starlette", "uvicorn", "websockets"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sender = best_sender()
    print(f"loopback; the hub sends by {sender.name}")
    sender.close()
    with tempfile.TemporaryDirectory(prefix="stakewire-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        stage = Stage(folder)
        for part in PARTS:
            if not chosen.only or part.__name__ in chosen.only:
                part(stage, max(2, (chosen.rounds + 1) // 2) if part in (crowd, flood) else chosen.rounds)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


PARTS = (cpu, variants, crowd, flood, stuck)

if __name__ == "__main__":
    main()
