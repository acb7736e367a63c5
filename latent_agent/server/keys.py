"""API keys: who may ask, in which namespaces, for what, and how often.

A secret is 256 random bits, so nobody guesses it from its hash: plain SHA-256 keeps it at rest, and
no slow password hash is needed.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from latent_agent.errors import SettingError

KEYS_VARIABLE = "LATENT_AGENT_API_KEYS"
"""The environment variable that holds what a file of keys would."""
_PREFIX = "la-"

_log = logging.getLogger(__name__)


class Right(StrEnum):
    """What a key may do."""

    ASK = "ask"
    RATE = "rate"
    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True)
class Key:
    """Who asks.

    Attributes:
        name: As it stands in logs and metrics.
        namespaces: Whose memories it reaches; None: every one.
        rights: What it may do.
        requests_per_minute: At most; None: no limit.
        max_waiting: Requests of this key that may be unanswered at once; None: no limit.
    """

    name: str
    namespaces: frozenset[str] | None
    rights: frozenset[Right]
    requests_per_minute: int | None = None
    max_waiting: int | None = None

    def may(self, right: Right) -> bool:
        """Whether it has a right."""
        return right in self.rights

    def sees(self, namespace: str) -> bool:
        """Whether it reaches a namespace."""
        return self.namespaces is None or namespace in self.namespaces


class WrittenKey(BaseModel):
    """A key as it is written down: the hash in place of the secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w.@-]+$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    namespaces: list[str] | None = None
    rights: list[Right] = [Right.ASK, Right.RATE]
    requests_per_minute: int | None = Field(default=None, ge=1)
    max_waiting: int | None = Field(default=None, ge=1)

    @property
    def key(self) -> Key:
        """Whom it stands for."""
        return Key(
            name=self.name,
            namespaces=None if self.namespaces is None else frozenset(self.namespaces),
            rights=frozenset(self.rights),
            requests_per_minute=self.requests_per_minute,
            max_waiting=self.max_waiting,
        )


_ALL = TypeAdapter(list[WrittenKey])


class Keys:
    """The keys that a server knows.

    A file is read again once it has changed: a key that was taken out of it is refused from the
    next request on.

    Args:
        written: The keys.
        path: Where they were read from; None: they stay as they are.

    Raises:
        SettingError: If two have one name or one secret.
    """

    def __init__(self, written: Sequence[WrittenKey], path: Path | None = None) -> None:
        self._path = path
        self._stamp = None if path is None else _stamp(path)
        self._keys = _by_hash(written)

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Read a file of keys.

        Raises:
            SettingError: If it is missing, if others may read it, or if it holds no keys.
        """
        return cls(read_keys(path), path)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Keys | None":
        """Read the keys that ``LATENT_AGENT_API_KEYS`` holds; None: it is not set.

        Raises:
            SettingError: If it holds no keys.
        """
        text = environment.get(KEYS_VARIABLE)
        return None if text is None else cls(_parsed(text, KEYS_VARIABLE))

    def find(self, secret: str) -> Key | None:
        """Return whose secret it is; takes the same time whichever it is, or none."""
        self._renew()
        digest, found = hash_of(secret), None
        for known, key in self._keys.items():
            if hmac.compare_digest(known, digest):
                found = key
        return found

    def _renew(self) -> None:
        if self._path is None:
            return
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = _by_hash(read_keys(self._path))
        except SettingError as error:
            self._keys = {}  # one that was taken away must not live on
            _log.error("nobody is let in until the keys can be read: %s", error)


def written_key(**given: Any) -> WrittenKey:
    """Return a key as it is written down.

    Raises:
        SettingError: If a name, a right or a limit is none.
    """
    try:
        return WrittenKey(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise SettingError(
            f"a key's {place} must be what it is for ({first['msg']}), got {first['input']!r}; "
            "see: latent-agent serve-key --help"
        ) from error


def hash_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """Return a new secret of 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def read_keys(path: Path) -> list[WrittenKey]:
    """Return the keys in a file.

    Raises:
        SettingError: If it is missing, if others may read it, or if it holds no keys.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"a file of keys must be readable, got {str(path)!r} ({error}); make one with: "
            "latent-agent serve-key NAME --keys FILE"
        ) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingError(
            f"a file of keys must be its owner's alone, got {str(path)!r} with mode "
            f"{stat.S_IMODE(mode):o}; run: chmod 600 {path}"
        )
    return _parsed(text, str(path))


def add_key(path: Path, key: WrittenKey) -> None:
    """Add a key to a file, which is made if there is none; only its owner may read it.

    Raises:
        SettingError: If the file holds a key of that name, or is no file of keys.
    """
    written = [*(read_keys(path) if path.exists() else []), key]
    _by_hash(written)
    text = json.dumps([one.model_dump(mode="json") for one in written], indent=1)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _parsed(text: str, place: str) -> list[WrittenKey]:
    try:
        return _ALL.validate_json(text)
    except ValidationError as error:
        (first, *_), count = error.errors(include_url=False, include_input=False), len(text)
        where = ".".join(map(str, first["loc"]))
        raise SettingError(
            f"keys must be a JSON list of objects with name and sha256, got {count} characters in "
            f"{place!r} ({where or 'all of it'}: {first['msg']}); make one with: latent-agent "
            "serve-key NAME --keys FILE"
        ) from error


def _by_hash(written: Sequence[WrittenKey]) -> dict[str, Key]:
    for field in ("name", "sha256"):
        values: list[Any] = [getattr(key, field) for key in written]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise SettingError(
                f"keys must each have a {field} of their own, got {twice[0]!r} twice; take one out"
            )
    return {key.sha256: key.key for key in written}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns
