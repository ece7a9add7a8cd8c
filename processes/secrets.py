"""Key pairs, and the URL that alerts go to, by name: from systemd, the environment or a private file, nowhere else.

The rule: a secret is never in the config, in argv, in a log or in a repr. A name is looked up in this order, and the
first place that has it counts as the only one (half a pair in it is an error, not a reason to look on):

1. $CREDENTIALS_DIRECTORY/<name>.api_key and <name>.secret (systemd LoadCredential)
2. $CORELANE_<NAME>_API_KEY and $CORELANE_<NAME>_SECRET
3. <directory of the config>/<name>.credentials, TOML with api_key and secret, owned by us, mode 0600

A URL (a webhook's holds a token mostly) is looked up alike: <name>.url, $CORELANE_<NAME>_URL, url = "..." in the file.

Called by the mains of trading engine, position server, simulator and monitor; the trader never asks.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

from processes.config import Config, VenueConfig

URL_PATTERN: Final = re.compile(r"^https?://\S+$")
ENVIRONMENT_PATTERN: Final = re.compile(r"^CORELANE_[A-Z0-9_]+_(API_KEY|SECRET)$")


class CredentialsError(Exception):
    """One sentence: which name, and where it was looked for or what is wrong with the place that has it."""


class Credentials:
    """One key pair. Shows neither half of itself."""

    __slots__ = ("api_key", "secret")

    def __init__(self, api_key: str, secret: str) -> None:
        self.api_key = api_key
        self.secret = secret

    def __repr__(self) -> str:
        return "Credentials(...)"


def simulator_credentials(venue: str) -> Credentials:
    """The pair that an embedded simulator knows without being told. Worth nothing elsewhere, so it may stand here."""
    secret = f"corelane-{venue}-simulator-secret"
    if venue == "grvt":  # its secret is a private key of secp256k1
        secret = hashlib.sha256(secret.encode()).hexdigest()
    return Credentials(f"corelane-{venue}-simulator-key", secret)


def resolve(config: Config, venue: str) -> Credentials | None:
    """The pair of a configured venue; None where the config names none (market data only).

    Raises CredentialsError. Core dumps of this process are off afterwards.
    """
    settings: VenueConfig = config.venues[venue]
    if settings.credentials is None:
        return simulator_credentials(venue) if settings.environment == "simulator" else None
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return find(settings.credentials, Path(config.path).parent)


def find(name: str, config_directory: Path) -> Credentials:
    """Look `name` up in the three places. Raises CredentialsError with one sentence."""
    found = _from_systemd(name) or _from_environment(name) or _from_file(name, config_directory)
    if found is None:
        raise CredentialsError(
            f'credentials "{name}": found in no place; expected $CREDENTIALS_DIRECTORY/{name}.api_key and .secret, '
            f"or {_variable(name, 'API_KEY')} and {_variable(name, 'SECRET')}, or {config_directory}/{name}.credentials"
        )
    return found


def find_url(name: str, config_directory: Path) -> str:
    """Look the URL called `name` up in the three places. Raises CredentialsError, which never shows the URL."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    variable = url_variable(name)
    file = config_directory / f"{name}.credentials"
    found = _text(Path(directory, f"{name}.url")) if directory else None
    found = found or os.environ.get(variable) or (_private_file(file) or {}).get("url")
    if found is None:
        raise CredentialsError(
            f'URL "{name}": found in no place; expected $CREDENTIALS_DIRECTORY/{name}.url, or {variable}, or '
            f'url = "..." in {file}'
        )
    if not isinstance(found, str) or not URL_PATTERN.match(found.strip()):
        raise CredentialsError(f'URL "{name}": what was found is no URL that begins with http:// or https://')
    return found.strip()


def url_variable(name: str) -> str:
    """The environment variable that may hold the URL of that name."""
    return _variable(name, "URL")


def _from_systemd(name: str) -> Credentials | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    halves = {half: Path(directory, f"{name}.{half}") for half in ("api_key", "secret")}
    return _pair(name, directory, {half: _text(path) for half, path in halves.items()})


def _from_environment(name: str) -> Credentials | None:
    halves = {half: os.environ.get(_variable(name, half.upper())) for half in ("api_key", "secret")}
    return _pair(name, "the environment", halves)


def _from_file(name: str, directory: Path) -> Credentials | None:
    path = directory / f"{name}.credentials"
    tree = _private_file(path)
    if tree is None:
        return None
    return _pair(name, str(path), {half: tree.get(half) for half in ("api_key", "secret")}, needed=True)


def _private_file(path: Path) -> dict[str, Any] | None:
    """What stands in it; None where it is not there. Raises CredentialsError where others may read or write it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise CredentialsError(f"{path}: found mode {stat.S_IMODE(status.st_mode):04o}, expected 0600")
            if status.st_uid not in (os.geteuid(), 0):
                raise CredentialsError(f"{path}: found user {status.st_uid} as owner, expected {os.geteuid()}")
            return tomllib.load(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CredentialsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's message may quote the line, and the line may be the secret.
        raise CredentialsError(f'{path}: is not TOML, expected lines like api_key = "..." and secret = "..."') from None


def _pair(name: str, place: str, halves: dict[str, str | None], *, needed: bool = False) -> Credentials | None:
    if not any(halves.values()) and not needed:
        return None
    for half, value in halves.items():
        if not isinstance(value, str) or not value.strip():
            raise CredentialsError(f'credentials "{name}": {place} has no {half}, expected both api_key and secret')
    return Credentials(*(str(value).strip() for value in halves.values()))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise CredentialsError(f"{path}: cannot be read as text") from None


def _variable(name: str, half: str) -> str:
    return f"CORELANE_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_{half}"
