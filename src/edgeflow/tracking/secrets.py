"""Passwords in addresses and in the environment: nothing that is shown or kept says them."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, unquote

VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")  # that MLflow sends to its server
_IN_ADDRESS = re.compile(r"(?<=://)[^/?#\s'\"]*@")  # up to the last one: a password may have one
_USER = re.compile(r"://([^/?#]*)@")
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)


def redacted(text: str, uri: str = "") -> str:
    """A text without user and password of any address, and without the secrets of `uri` and of the environment."""
    for secret in known(uri):
        text = text.replace(secret, "***")
    return _IN_ADDRESS.sub("", text)


def has_password(address: str) -> bool:
    """True for an address that says a password."""
    asked_as = _USER.search(address)
    return asked_as is not None and ":" in asked_as[1]


def known(uri: str) -> list[str]:
    """The secrets of an address, as it spells them and as they are, and those of the environment; the longest first.

    Also of what is no address, such as one with a bracket in its password: whoever asks there says so.
    """
    asked_as = _USER.search(uri)
    user, _, password = asked_as[1].partition(":") if asked_as else ("", "", "")
    query = uri.partition("#")[0].partition("?")[2]
    given = [value for key, value in parse_qsl(query) if _SECRET_KEY.search(key)]
    secrets = {password or user, *given, *(os.environ.get(name, "") for name in VARIABLES)}
    return sorted(filter(None, {*secrets, *map(unquote, secrets)}), key=lambda secret: (-len(secret), secret))
