"""Coverage-guided fuzzing of what reads a hub peer's bytes: frames, splitters, messages, handshakes.

    python tests/fuzz/hub_fuzzer.py CORPUS_FOLDER -runs=1000000

The first byte chooses the reader, the second where the rest is cut in two. It starts from `vectors/signalr/`.
Needs atheris.
`--planted` takes the check of text out of the frame reader first, to show that the fuzzer would notice.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["stakewire"]):
    from stakewire.wire.signalr import handshake, negotiate
    from stakewire.wire.signalr.errors import ProtocolError
    from stakewire.wire.signalr.protocol import JSON, MESSAGEPACK
    from stakewire.wire.websocket import frames
    from stakewire.wire.websocket.errors import UpgradeRefused
    from stakewire.wire.websocket.handshake import DEFLATE_ANSWER, check_upgrade, deflate_offer

from stakewire.testing.vectors import body_of, read_vectors

ROOT = Path(__file__).parents[2]
FRAME_CLAIMS = runpy.run_path(str(ROOT / "tests/unit/wire_signalr/test_frames.py"))
PROTOCOL_CLAIMS = runpy.run_path(str(ROOT / "tests/unit/wire_signalr/test_protocol.py"))
JSON_CASE, MESSAGEPACK_CASE, SERVER_CASE, CLIENT_CASE, TEXT_CASE = range(5)
BOUND = 64


def one_input(data: bytes) -> None:
    """State the claims about these bytes; a claim that fails raises, and the fuzzer keeps the bytes."""
    if len(data) < 2:
        return
    kind, cut, rest = data[0] % 5, data[1], data[2:]
    pieces = [rest[:cut], rest[cut:]]
    if kind in (JSON_CASE, MESSAGEPACK_CASE):
        protocol = JSON if kind == JSON_CASE else MESSAGEPACK
        outcome = PROTOCOL_CLAIMS["outcome"]
        assert outcome(protocol, pieces)[-1] == outcome(protocol, [rest])[-1]
    elif kind == TEXT_CASE:
        texts(rest)
    else:
        framed(pieces, rest, require_mask=kind == SERVER_CASE)


def framed(pieces: list[bytes], rest: bytes, *, require_mask: bool) -> None:
    """The frame reader gives the same in one piece as in two, within its bound, and only lawful events."""

    def reader() -> frames.FrameReader:
        return frames.FrameReader(max_message=BOUND, deflate=True, require_mask=require_mask)

    whole: tuple[list[Any], int | None] = FRAME_CLAIMS["outcome"](reader(), [rest])
    cut: tuple[list[Any], int | None] = FRAME_CLAIMS["outcome"](reader(), pieces)
    assert cut[1] == whole[1]
    assert cut[0][: len(whole[0])] == whole[0]
    assert whole[1] in (None, 1002, 1007, 1009)
    for event in cut[0]:
        if isinstance(event, frames.Text):
            assert is_utf8(event.data)
        if isinstance(event, frames.Text | frames.Binary):
            assert len(event.data) <= BOUND


def is_utf8(data: bytes) -> bool:
    """Whether Python reads it as UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def texts(data: bytes) -> None:
    """Handshakes, answers to negotiate and upgrade headers are read or refused as documented."""
    for read in (handshake.read_request, handshake.read_answer, negotiate.read_negotiation):
        with contextlib.suppress(ProtocolError):
            read(data)
    with contextlib.suppress(ProtocolError):
        negotiate.choose_version(data.decode("latin-1"))
    lines = [line.partition(b":")[::2] for line in data.split(b"\n")]
    with contextlib.suppress(UpgradeRefused):
        check_upgrade(lines)
    answer = deflate_offer([(b"sec-websocket-extensions", data)])
    assert answer is None or answer.startswith(DEFLATE_ANSWER)


def seed(corpus: Path) -> None:
    """Start from the published cases, one file each."""
    folder = ROOT / "vectors" / "signalr"
    for name, kind in (("json", JSON_CASE), ("handshake", TEXT_CASE), ("negotiate", TEXT_CASE)):
        for number, case in enumerate(read_vectors(folder / f"{name}.json")):
            record = body_of(case) + (b"\x1e" if kind == JSON_CASE else b"")
            (corpus / f"{name}-{number}").write_bytes(bytes((kind, 9)) + record)
    for number, case in enumerate(read_vectors(folder / "messagepack.json")):
        (corpus / f"messagepack-{number}").write_bytes(
            bytes((MESSAGEPACK_CASE, 3)) + bytes.fromhex(case["hex"])
        )
    for number, case in enumerate(read_vectors(folder / "websocket_frames.json")):
        kind = CLIENT_CASE if case.get("server") else SERVER_CASE
        (corpus / f"frames-{number}").write_bytes(bytes((kind, 7)) + bytes.fromhex(case["hex"]))


def main() -> None:
    """Run until the bounds given (`-runs`, `-max_total_time`) or the first broken claim."""
    arguments = [argument for argument in sys.argv if argument != "--planted"]
    if len(arguments) < len(sys.argv):
        frames._check_utf8 = lambda data: data.decode("utf-8", "replace")
    seed(Path(arguments[1]))
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
