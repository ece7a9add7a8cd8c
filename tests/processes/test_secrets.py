"""Key pairs by name, from three places, shown nowhere."""

from __future__ import annotations

import msgspec
import pytest

from processes import secrets
from processes.config import Config
from processes.secrets import Credentials, CredentialsError, find, find_url


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CREDENTIALS_DIRECTORY", "CORELANE_MAIN_API_KEY", "CORELANE_MAIN_SECRET", "CORELANE_MAIN_URL"):
        monkeypatch.delenv(name, raising=False)


def test_systemd_comes_first(directory, monkeypatch):
    (directory / "main.api_key").write_text("from-systemd\n")
    (directory / "main.secret").write_text("s1\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    monkeypatch.setenv("CORELANE_MAIN_API_KEY", "from-environment")
    monkeypatch.setenv("CORELANE_MAIN_SECRET", "s2")
    found = find("main", directory)
    assert (found.api_key, found.secret) == ("from-systemd", "s1")


def test_then_the_environment(directory, monkeypatch):
    monkeypatch.setenv("CORELANE_MAIN_API_KEY", "k")
    monkeypatch.setenv("CORELANE_MAIN_SECRET", "s")
    assert find("main", directory).secret == "s"


def test_a_name_with_other_characters_has_a_variable_too(directory, monkeypatch):
    monkeypatch.setenv("CORELANE_MY_KEY_2_API_KEY", "k")
    monkeypatch.setenv("CORELANE_MY_KEY_2_SECRET", "s")
    assert find("my-key.2", directory).api_key == "k"


def test_then_a_private_file(directory):
    path = directory / "main.credentials"
    path.write_text('api_key = "k"\nsecret = "s"\n')
    path.chmod(0o600)
    assert find("main", directory).api_key == "k"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_refused(directory, mode):
    path = directory / "main.credentials"
    path.write_text('api_key = "k"\nsecret = "s"\n')
    path.chmod(mode)
    with pytest.raises(CredentialsError, match=f"found mode {mode:04o}, expected 0600"):
        find("main", directory)


def test_a_bad_file_is_not_quoted(directory):
    path = directory / "main.credentials"
    path.write_text("very secret words")
    path.chmod(0o600)
    with pytest.raises(CredentialsError) as caught:
        find("main", directory)
    assert "very secret" not in str(caught.value)


def test_half_a_pair_is_an_error_and_no_reason_to_look_on(directory, monkeypatch):
    monkeypatch.setenv("CORELANE_MAIN_API_KEY", "k")
    with pytest.raises(CredentialsError, match="the environment has no secret"):
        find("main", directory)


def test_a_name_that_is_nowhere_names_all_three_places(directory):
    with pytest.raises(CredentialsError) as caught:
        find("main", directory)
    for place in ("CREDENTIALS_DIRECTORY", "CORELANE_MAIN_API_KEY", "main.credentials"):
        assert place in str(caught.value)


def test_neither_half_is_shown():
    shown = repr(Credentials("public", "hidden")) + str(Credentials("public", "hidden"))
    assert "public" not in shown
    assert "hidden" not in shown


def test_a_simulator_needs_no_name_and_a_real_venue_without_one_has_no_orders(config: Config):
    assert secrets.resolve(config, "binance") is not None
    real = msgspec.structs.replace(config.venues["binance"], environment="testnet")
    assert secrets.resolve(msgspec.structs.replace(config, venues={"binance": real}), "binance") is None


def test_a_url_comes_from_systemd_then_the_environment_then_a_private_file(directory, monkeypatch):
    path = directory / "main.credentials"
    path.write_text('url = "https://file"\n')
    path.chmod(0o600)
    assert find_url("main", directory) == "https://file"
    monkeypatch.setenv("CORELANE_MAIN_URL", "https://environment")
    assert find_url("main", directory) == "https://environment"
    (directory / "main.url").write_text("https://systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    assert find_url("main", directory) == "https://systemd"


def test_a_url_that_is_nowhere_names_every_place(directory):
    with pytest.raises(
        CredentialsError, match=r'^URL "main": found in no place; .*main\.url, or CORELANE_MAIN_URL, or'
    ):
        find_url("main", directory)


@pytest.mark.parametrize("text", ["token-only", "ftp://secret.example", "https://a b"])
def test_what_is_no_url_is_refused_and_not_shown(directory, monkeypatch, text):
    monkeypatch.setenv("CORELANE_MAIN_URL", text)
    with pytest.raises(CredentialsError) as failure:
        find_url("main", directory)
    assert str(failure.value) == 'URL "main": what was found is no URL that begins with http:// or https://'


def test_a_file_with_a_url_that_others_may_read_is_refused(directory):
    path = directory / "main.credentials"
    path.write_text('url = "https://file"\n')
    path.chmod(0o644)
    with pytest.raises(CredentialsError, match="found mode 0644, expected 0600"):
        find_url("main", directory)
