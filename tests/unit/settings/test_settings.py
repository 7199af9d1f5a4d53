"""Settings: a flag over the environment over the file; every wrong value names its place."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from stakewire.errors import ConfigError, InvalidInput
from stakewire.settings import Settings, load, variables


def _load(
    tmp_path: Path,
    *,
    file: str = "",
    environment: dict[str, str] | None = None,
    flags: dict[str, Any] | None = None,
) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(file)
    return load(flags, config=path, environment=environment or {})


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    """For a common key and for a side's key; what a layer does not say comes from the one below."""
    file = 'data = "file"\n[wallet]\nport = 1\nworkers = 1\nhost = "file"'
    environment = {"STAKEWIRE_DATA": "env", "STAKEWIRE_WALLET_PORT": "2", "STAKEWIRE_WALLET_WORKERS": "2"}
    only_file = _load(tmp_path, file=file)
    assert (only_file.data, only_file.wallet.port) == (Path("file"), 1)
    with_environment = _load(tmp_path, file=file, environment=environment)
    assert (with_environment.data, with_environment.wallet.port) == (Path("env"), 2)
    flags = {"data": "flag", "wallet": {"port": 3, "host": None}}
    all_three = _load(tmp_path, file=file, environment=environment, flags=flags)
    assert all_three.data == Path("flag")
    assert (all_three.wallet.port, all_three.wallet.workers, all_three.wallet.host) == (3, 2, "file")


def test_lists_and_tables_are_written_with_commas_in_the_environment(tmp_path: Path) -> None:
    """Networks, further currencies and the demo's players."""
    settings = _load(
        tmp_path,
        environment={
            "STAKEWIRE_EGRESS_ALLOW": "127.0.0.0/8, ::1/128",
            "STAKEWIRE_CURRENCIES": "XYZ=3,ABC=0",
            "STAKEWIRE_SITE_PLAYERS": "alice=play-money",
        },
    )
    assert settings.egress_allow == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.currencies == {"XYZ": 3, "ABC": 0}
    assert settings.site.players["alice"].get_secret_value() == "play-money"


def test_a_side_may_have_its_own_database(tmp_path: Path) -> None:
    """The side's own address wins over the common one; an empty one counts as not given."""
    environment = {
        "STAKEWIRE_DATABASE_URL": "postgresql://a/x",
        "STAKEWIRE_WALLET_DATABASE_URL": "postgresql://b/y",
    }
    settings = _load(tmp_path, environment=environment)
    assert settings.side_database_url("wallet") == "postgresql://b/y"
    assert settings.side_database_url("sportsbook") == "postgresql://a/x"
    assert _load(tmp_path, environment={"STAKEWIRE_DATABASE_URL": ""}).side_database_url("wallet") is None


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ('databse_url = "x"', "unknown key databse_url; did you mean database_url?"),
        ("[wallet]\nporte = 1", r"unknown key wallet\.porte; did you mean port?"),
        ("wallet = 1", r"\[wallet\] must be a table"),
        ('[wallet]\nport = "x"', r"settings\.toml: wallet\.port"),
        ('admin_token = ""', r"settings\.toml: admin_token: is empty"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_key(tmp_path: Path, file: str, sentence: str) -> None:
    """One sentence with the file, the key and what is wrong."""
    with pytest.raises(InvalidInput, match=sentence):
        _load(tmp_path, file=file)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("STAKEWIRE_WALLET_PORT", "tcp://10.0.0.1", "STAKEWIRE_WALLET_PORT: .*integer"),
        ("STAKEWIRE_ADMIN_TOKEN", "", "STAKEWIRE_ADMIN_TOKEN: is empty"),
        ("STAKEWIRE_MASTER_KEY", "", "STAKEWIRE_MASTER_KEY: is empty"),
        ("STAKEWIRE_EGRESS_ALLOW", "10.0.0.1/8", "STAKEWIRE_EGRESS_ALLOW: 10.0.0.1/8 has host bits"),
        ("STAKEWIRE_SITE_PLAYERS", "alice", "STAKEWIRE_SITE_PLAYERS: must look like NAME=VALUE"),
        ("STAKEWIRE_LOG_LEVEL", "loud", "STAKEWIRE_LOG_LEVEL: "),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, sentence: str) -> None:
    """The sentence begins with the variable's name."""
    with pytest.raises(InvalidInput, match=sentence):
        _load(tmp_path, environment={variable: value})


def test_a_wrong_flag_is_named_as_it_was_typed(tmp_path: Path) -> None:
    """Even if the environment has the same setting."""
    with pytest.raises(InvalidInput, match=r"^--admin-port: "):
        _load(
            tmp_path,
            flags={"wallet": {"admin_port": 70000}},
            environment={"STAKEWIRE_WALLET_ADMIN_PORT": "1"},
        )


def test_unknown_variables_are_left_alone(tmp_path: Path) -> None:
    """Container platforms invent STAKEWIRE_SERVICE_HOST and the like."""
    _load(tmp_path, environment={"STAKEWIRE_SERVICE_HOST": "10.0.0.1", "STAKEWIRE_WALLET_SERVICE_PORT": "x"})


def test_no_secret_is_shown_by_a_wrong_value_or_a_printed_object(tmp_path: Path) -> None:
    """Neither an error sentence nor the settings' representation holds a secret."""
    secret = "postgresql://u:hunter2@h/d"
    environment = {"STAKEWIRE_DATABASE_URL": secret, "STAKEWIRE_ADMIN_TOKEN": "hunter2"}
    assert "hunter2" not in repr(_load(tmp_path, environment=environment))
    with pytest.raises(InvalidInput) as caught:
        _load(tmp_path, file='[site]\nplayers = "hunter2"')
    assert "hunter2" not in caught.value.message


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """Missing, or not TOML."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(config=tmp_path / "none.toml", environment={})
    with pytest.raises(ConfigError, match="is not TOML"):
        _load(tmp_path, file="data =")


def test_the_file_may_be_named_by_the_environment_or_stand_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STAKEWIRE_CONFIG, else ./stakewire.toml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.toml").write_text('data = "other"')
    assert load(environment={"STAKEWIRE_CONFIG": "other.toml"}).data == Path("other")
    assert load(environment={}).data == Path("stakewire-data")
    (tmp_path / "stakewire.toml").write_text('data = "here"')
    assert load(environment={}).data == Path("here")


def test_every_setting_says_what_it_is() -> None:
    """Each has a description, from which the reference page is made."""
    assert [
        name for name, _, _, field in variables() if not field.description and not name.endswith("_PORT")
    ] == []
