"""Inserts the script into pages, before any script of theirs."""

from __future__ import annotations

import re
from typing import Final

from .access import OWN, SCRIPT

TAG: Final = f'<script src="{OWN}{SCRIPT}"></script>'.encode()

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

# Everything that can precede the content of <head>. The end of a tag is not within quotes. Possessive
# quantifiers keep the time linear.
_ATTRIBUTES: Final = rb"""(?:[\s/](?:"[^"]*"|'[^']*'|[^>"'])*+)?"""
_BEFORE_HEAD: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?"
    rb"(?:\s++|<!--.*?-->|<[!?](?!--)[^>]*+>|<html" + _ATTRIBUTES + rb">)*+"
    rb"(?:<head" + _ATTRIBUTES + rb">)?",
    re.DOTALL | re.IGNORECASE,
)


def inject_script(page: bytes) -> bytes:
    """Return an HTML page with the script as the first thing in its head.

    Tags may be left out in HTML; the browser then begins the head at the script. A page in UTF-16 stays as it
    is.
    """
    if page.startswith(_UTF16):
        return page
    found = _BEFORE_HEAD.match(page)
    assert found is not None
    end = found.end()
    return page[:end] + TAG + page[end:]
