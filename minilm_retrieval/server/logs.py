"""The server's log on standard error: a line an event, as text or as JSON; never a text that was sent, never a key."""

from __future__ import annotations

import logging
import sys
import warnings

from pythonjsonlogger.json import JsonFormatter

from minilm_retrieval.errors import InvalidOptionError

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
_FIELDS = ("client", "method", "path", "status", "seconds", "texts", "tokens", "truncated", "request_id")


def set_up_logging(form: str, level: str) -> None:
    """Send the log of this library and of uvicorn, and warnings, to standard error.

    Raises:
        InvalidOptionError: There is no such format or level.
    """
    for name, value, offered in (("log format", form, FORMATS), ("log level", level, LEVELS)):
        if value not in offered:
            raise InvalidOptionError(f"{name} {value!r} is not offered; expected one of {', '.join(offered)}.")
    warnings.showwarning = lambda message, *place: _log_warning(message)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
        if form == "json"
        else _TextFormatter("%(asctime)s %(levelname)s %(message)s")
    )
    for name in ("minilm_retrieval", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
    # What it says about each connection, the request's own line says better.
    logging.getLogger("uvicorn.error").setLevel(max(logging.getLevelName(level.upper()), logging.WARNING))


def _log_warning(message: Warning | str) -> None:
    """Log a warning without the place in the code that it points at, which is never the user's."""
    logging.getLogger("minilm_retrieval.server").warning("%s", message)


class _TextFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        facts = " ".join(f"{name}={getattr(record, name)}" for name in _FIELDS if hasattr(record, name))
        return f"{super().formatMessage(record)} {facts}".rstrip()
