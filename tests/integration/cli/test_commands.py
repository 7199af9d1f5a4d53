"""What all commands share: one document or one sentence, documented exit codes, a word of help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from stakewire import errors
from stakewire.cli.common import Context, command
from stakewire.cli.main import EXIT_CODES, build
from stakewire.cli.reference import markdown
from stakewire.errors import Conflict, StakewireError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the developer's shell or folder reaches these tests."""
    for name in [name for name in os.environ if name.startswith("STAKEWIRE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _run(app: typer.Typer, *arguments: str) -> int:
    """Run in this process and give the exit code."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    code = ended.value.code
    assert isinstance(code, int)
    return code


def _app(function: Any) -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    command(app, "try")(function)
    return app


def test_an_answer_is_text_or_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` anywhere after the command changes the form, not the content; notes go to stderr."""

    async def work(ctx: Context, name: str) -> None:
        ctx.note("working")
        ctx.out({"name": name, "balance": "1.50"}, f"{name} has 1.50")

    assert _run(_app(work), "try", "ål") == 0
    assert capsys.readouterr() == ("ål has 1.50\n", "working\n")
    assert _run(_app(work), "try", "--json", "ål") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "ål", "balance": "1.50"}


def test_an_error_is_one_sentence_and_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Text on stderr, with `--json` one document on stdout."""

    async def work(ctx: Context) -> None:
        raise Conflict("the id was used before", code="ID_REUSED")

    assert _run(_app(work), "try") == 4
    assert capsys.readouterr() == ("", "stakewire: the id was used before\n")
    assert _run(_app(work), "try", "--json") == 4
    assert json.loads(capsys.readouterr().out) == {"error": "ID_REUSED", "message": "the id was used before"}


def test_flags_reach_the_settings_and_their_mistakes_are_errors_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The common flags, and a command's own ones by `with_flags`."""

    async def work(ctx: Context, port: Annotated[int | None, typer.Option("--port")] = None) -> None:
        ctx = ctx.with_flags(wallet={"port": port})
        ctx.out({}, f"{ctx.settings.data} {ctx.settings.wallet.port}")

    assert _run(_app(work), "try", "--data", "here", "--port", "5") == 0
    assert capsys.readouterr().out == "here 5\n"
    assert _run(_app(work), "try", "--port", "70000") == 2
    assert capsys.readouterr().err.startswith("stakewire: --port: ")


def test_a_plain_function_may_be_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    """For those that do not wait for anything."""

    def work(ctx: Context) -> None:
        ctx.out({}, "done")

    assert _run(_app(work), "try") == 0
    assert capsys.readouterr().out == "done\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("verify --no-such-flag", "--no-such-flag"),
        ("wallet player show", "Missing argument"),
        ("wallet nothing", "nothing"),
        ("serve wallet --port many", "--port"),
        ("no-such-command", "no-such-command"),
    ],
)
def test_a_mistake_in_the_command_line_is_a_document_too(words: str, said: str) -> None:
    """With `--json` a program reads stdout alone, whatever was wrong; exit 2."""
    done = subprocess.run(
        [sys.executable, "-m", "stakewire", *words.split(), "--json"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "")
    answer = json.loads(done.stdout)
    assert set(answer) == {"error", "message"}
    assert said in answer["message"]
    assert "\n" not in answer["message"]


@pytest.mark.parametrize("amount", ["-1", "-0.50", "-.5"])
def test_an_amount_below_zero_is_a_wrong_amount_and_no_flag(
    capsys: pytest.CaptureFixture[str], amount: str
) -> None:
    """The sentence is about the amount; flags after it are still flags, and unknown ones still errors."""
    words = ("sportsbook", "bet", "casino", "u", amount, "EUR", "--copies", "2")
    assert _run(build(), *words) == 2
    said = capsys.readouterr().err
    assert "No such option" not in said
    assert "amount" in said
    assert _run(build(), *words, "--no-such-flag") == 2
    assert "--no-such-flag" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("sign --secret-file FILE body", 2),
        ("verify --config FILE", 7),
        ("wallet operator add x --profile FILE", 2),
        ("sportsbook client add x --callback-url https://a.example --profile FILE", 2),
        ("serve wallet --port 0 --tls-cert FILE --tls-key FILE", 7),
        ("sportsbook import FILE", 2),
    ],
)
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xff", None])
def test_a_file_that_cannot_be_read_is_one_sentence(
    database_url: str, tmp_path: Path, words: str, code: int, content: bytes | None
) -> None:
    """Not text, or not a file at all: no stack trace, whatever flag it was given to."""
    file = tmp_path / "file"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    (tmp_path / "body").write_bytes(b"{}")
    done = subprocess.run(
        [sys.executable, "-m", "stakewire", *words.replace("FILE", str(file)).split()],
        env={**os.environ, "STAKEWIRE_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_secret_of_other_bytes_is_one_sentence(tmp_path: Path) -> None:
    """As a flag too, where a shell may pass any bytes."""
    (tmp_path / "body").write_bytes(b"{}")
    done = subprocess.run(
        [sys.executable, "-m", "stakewire", "sign", "--secret", b"\xff" * 20, "body"], capture_output=True
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"stakewire: the security hash is not")


@pytest.mark.parametrize(
    "words",
    ["verify", "wallet player show alice", "sportsbook client list", "sportsbook callbacks list", "db check"],
)
def test_a_folder_without_a_database_is_said_and_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str
) -> None:
    """A mistyped `--data` is no empty, flawless ledger: exit 7, one sentence, nothing made."""
    assert _run(build(), *words.split(), "--data", "mistyped") == 7
    out, err = capsys.readouterr()
    assert out == ""
    assert f"there is no database in the data folder {tmp_path / 'mistyped'}" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "mistyped").exists()


def test_every_error_has_a_documented_exit_code() -> None:
    """Each class of the tree, and none of the documented codes is an invention."""
    classes = [
        one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, StakewireError)
    ]
    assert {one.exit_code for one in classes} | {0, 130} == set(EXIT_CODES)


def test_the_reference_page_is_what_the_code_says() -> None:
    """After a change: `python -m stakewire.cli.reference > docs/reference/cli.md`."""
    assert (ROOT / "docs" / "reference" / "cli.md").read_text() == markdown()


def test_every_command_and_flag_has_a_word_of_help() -> None:
    """Nobody must read the code to know what a flag does."""
    silent = []

    def look(path: str, one: Any) -> None:
        for name, below in getattr(one, "commands", {}).items():
            look(f"{path} {name}", below)
        if not one.help:
            silent.append(path)
        silent.extend(
            f"{path} {param.opts[0]}"
            for param in one.params
            if param.param_type_name == "option" and not param.help and not param.hidden
        )

    look("stakewire", typer.main.get_command(build()))
    assert silent == []


def test_a_reader_who_has_enough_is_no_error(tmp_path: Path) -> None:
    """`stakewire ... | head -1` ends quietly."""
    program = (
        "from stakewire.cli.common import run\n"
        "run(lambda: [print('x' * 1000, flush=True) for _ in range(10000)])"
    )
    done = subprocess.run(
        f'{sys.executable} -c "{program}" | head -1 >/dev/null', shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""
