"""A camera's address as people type it: which device it means, and how it may be shown."""

from __future__ import annotations

import re
from pathlib import Path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")


def parse_address(text: str) -> int | str:
    """A camera's number, where `text` is one or names its device (/dev/video2, or a link to it), else the address."""
    text = text.strip()
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    if text.startswith("/dev/") and "\0" not in text:
        device = re.fullmatch(r"/dev/video([0-9]+)", str(Path(text).resolve()))
        return int(device[1]) if device else text
    return text


def public(address: int | str) -> int | str:
    """An address without what may be secret in it: a name and password, and everything from a query on.

    A password may hold any character, so that everything up to the last @ counts as one; where that may as well stand
    in a query, nothing but the scheme is left.
    """
    if isinstance(address, int):
        return address
    scheme = _SCHEME.match(address)
    start, rest = (f"{scheme[1]}://", address[scheme.end() :]) if scheme else ("", address)
    before, _, after = rest.rpartition("@")
    if re.search(r"\?[^?]*=", before):
        return f"{start}…"
    return start + re.split(r"[?#&;=]", after)[0]
