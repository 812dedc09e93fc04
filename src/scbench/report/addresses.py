"""Addresses of MLflow as they may be shown and written down."""

from __future__ import annotations

from urllib.parse import urlsplit


def without_user(text: str, uri: str) -> str:
    """The text without the user's name and password that the address has in it."""
    user, at, _ = urlsplit(uri).netloc.rpartition("@")
    return text.replace(user + at, "") if at else text
