"""What a server can be told, with its defaults, and what of it is refused."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from minilm_retrieval.errors import InvalidOptionError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8444
API_KEYS_VARIABLE = "MINILM_API_KEYS"
TRUNCATION = ("warn", "ignore", "error")
_MEBIBYTE = 1 << 20
_SMALLEST_BODY = 1024


@dataclass(frozen=True)
class ServerOptions:
    """Limits and security of a server.

    Attributes:
        host: Address to listen on. Any but this machine's own wants keys, or ``open_to_all``.
        port: TCP port; 0 takes a free one.
        api_keys: Any of these opens the server; none: everybody may.
        open_to_all: Listen on other addresses than this machine's own without keys.
        cors_origins: Web pages of these origins may call the server; ``"*"`` for all.
        max_body_bytes: Longest request body; above it 413.
        max_texts: Most texts of a request; above it 400.
        max_tokens: Most tokens of a request, as far as the model reads them; above it 400.
        max_queue: Most requests that wait for the processor; above it 429.
        max_queue_texts: While so many texts wait, every further request gets 429, of whatever size.
        timeout: Seconds a request may take to be answered; after that 503.
        body_timeout: Seconds a client may take to send a request's body; after that 408.
        shutdown_timeout: Seconds that accepted requests may still take when the server is stopped.
        on_truncate: Texts longer than the model reads: ``"warn"`` says in response headers what was cut,
            ``"ignore"`` does not, ``"error"`` refuses the request.

    Raises:
        InvalidOptionError: An option is out of range, or the address wants keys.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    api_keys: tuple[str, ...] = ()
    open_to_all: bool = False
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 32 * _MEBIBYTE
    max_texts: int = 8192
    max_tokens: int = 2_097_152
    max_queue: int = 1024
    max_queue_texts: int = 16_384
    timeout: float = 300.0
    body_timeout: float = 30.0
    shutdown_timeout: float = 60.0
    on_truncate: str = "warn"

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise InvalidOptionError(f"port must be between 0 and 65535, got {self.port}.")
        smallest = {"max_body_bytes": _SMALLEST_BODY}
        for name in ("max_body_bytes", "max_texts", "max_tokens", "max_queue", "max_queue_texts"):
            if getattr(self, name) < smallest.get(name, 1):
                raise InvalidOptionError(f"{name} must be at least {smallest.get(name, 1)}, got {getattr(self, name)}.")
        for name in ("timeout", "body_timeout", "shutdown_timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InvalidOptionError(f"{name} must be a positive number of seconds, got {getattr(self, name)}.")
        if self.on_truncate not in TRUNCATION:
            raise InvalidOptionError(
                f"on_truncate={self.on_truncate!r} is not offered; expected one of {', '.join(TRUNCATION)}."
            )
        for key in self.api_keys:
            if not re.fullmatch(r"[\x21-\x7e]+", key):
                raise InvalidOptionError(
                    "An API key must be printable ASCII without spaces, since it is sent as a header."
                )
        if not self.api_keys and not self.open_to_all and not is_loopback(self.host):
            raise InvalidOptionError(
                f"{self.host} can be reached from other machines, so the server wants an API key: --api-key-file, or "
                f"the environment variable {API_KEYS_VARIABLE}. To let everybody in: --open-to-all."
            )


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_api_keys(file: Path | None = None) -> tuple[str, ...]:
    """Return the keys of a file, one a line, and of the environment variable ``MINILM_API_KEYS``, separated by commas.

    Blank lines, and lines that start with ``#``, are left out.

    Raises:
        InvalidOptionError: The file cannot be read, or has no key in it.
    """
    keys = [key.strip() for key in os.environ.get(API_KEYS_VARIABLE, "").split(",")]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidOptionError(f"The API keys in {file} cannot be read: {error}") from error
        in_file = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not in_file:
            raise InvalidOptionError(f"{file} has no API key in it; expected one a line.")
        keys += in_file
    return tuple(dict.fromkeys(key for key in keys if key))
