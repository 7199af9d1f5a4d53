"""Coverage-guided fuzzing of what reads a peer's bytes: strict JSON, callbacks, answers, signatures, amounts.

    python tests/fuzz/wire_fuzzer.py CORPUS_FOLDER -runs=1000000

It starts from the bodies of `vectors/` and drives the very claims that the property tests state.
Needs atheris.
`--planted` takes the count of quotes out of the fast path first, to show that the fuzzer would notice.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import runpy
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["stakewire"]):
    from stakewire import money
    from stakewire.wire.sportsbook import answers, messages, signing, strict_json
    from stakewire.wire.sportsbook.strict_json import RequestInvalid

from stakewire.testing.vectors import body_of, read_vectors

ROOT = Path(__file__).parents[2]
JSON_CLAIMS = runpy.run_path(str(ROOT / "tests/unit/wire/test_strict_json.py"))
CALLBACK_CLAIMS = runpy.run_path(str(ROOT / "tests/unit/wire/test_messages.py"))
SECRET = signing.Secret("demo-hash")
EUR = money.Currency("EUR", 2)


def one_input(data: bytes) -> None:
    """State every claim about these bytes; a claim that fails raises, and the fuzzer keeps the bytes."""
    JSON_CLAIMS["agree"](data)
    for endpoint in messages.Endpoint:
        read, slowly = CALLBACK_CLAIMS["read"](endpoint, data), CALLBACK_CLAIMS["read_slowly"](endpoint, data)
        assert CALLBACK_CLAIMS["same"](read, slowly)
        if read is not None:
            with contextlib.suppress(money.InvalidAmount):
                assert 0 <= money.to_minor(read.amount, EUR) <= 10**20
    assert isinstance(answers.read_answer(200, data), answers.Accepted | answers.Declined | answers.Unclear)
    assert SECRET.sign(data) == hmac.new(b"demo-hash", data, hashlib.sha256).hexdigest()
    lines = [line.partition(b":")[::2] for line in data.split(b"\n")]
    try:
        signing.check_signature(data, lines, [SECRET])
        raise AssertionError("nobody can guess a signature")
    except signing.SignatureError:
        pass


def plant_a_bug() -> None:
    """A fast path that trusts msgspec: of a name given twice, the last value wins."""

    def trusting(raw: bytes) -> dict[str, object] | None:
        try:
            found = strict_json._FAST.decode(raw)
        except (ValueError, RequestInvalid, ArithmeticError, RecursionError):
            return None
        flat = isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values())
        return (
            {name: strict_json._number(str(v)) if type(v) is int else v for name, v in found.items()}
            if flat
            else None
        )

    strict_json._parse_flat = trusting


def seed(corpus: Path) -> None:
    """Start from the published bodies, one file each."""
    for name in ("strict_json", "requests", "answers"):
        for number, case in enumerate(read_vectors(ROOT / "vectors" / "sportsbook" / f"{name}.json")):
            (corpus / f"{name}-{number}").write_bytes(body_of(case))


def main() -> None:
    """Run until the bounds given (`-runs`, `-max_total_time`) or the first broken claim."""
    arguments = [argument for argument in sys.argv if argument != "--planted"]
    if len(arguments) < len(sys.argv):
        plant_a_bug()
    seed(Path(arguments[1]))
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
