"""Access control of HTTP requests, without I/O: which are authorized, and the file that a path leads to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

import attrs

from .token import cookie_name, has_cookie, same

OWN: Final = "/.peersockets/"
"""The beginning of the gateway's own paths. Names of the site do not begin with a dot."""
LOGIN: Final = f"{OWN}enter/"
SOCKET: Final = f"{OWN}socket"
SCRIPT: Final = "peersockets.js"
OWN_FILES: Final = (SCRIPT, "peersockets.d.ts")
INDEX: Final = "index.html"

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The headers of every answer."""

_METHODS: Final = ("GET", "HEAD")
_ESCAPES: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")
_PRINTABLE: Final = re.compile(r"[!-~]*")
_HTTP: Final = 80

GetAll: TypeAlias = Callable[[str], list[str]]
"""A function that returns all values of a header."""


@attrs.frozen
class GatewayAddress:
    """The gateway's address, and its token."""

    name: str
    """The host's name."""
    port: int
    token: str = attrs.field(repr=False)

    @property
    def host(self) -> str:
        """The value of the header Host."""
        return self.name if self.port == _HTTP else f"{self.name}:{self.port}"

    @property
    def origin(self) -> str:
        """The origin of the pages."""
        return f"http://{self.host}"

    @property
    def url(self) -> str:
        """The address with which a browser logs in."""
        return f"{self.origin}{LOGIN}{self.token}"

    @property
    def cookie(self) -> str:
        """The value of the header Set-Cookie."""
        return f"{cookie_name(self.port)}={self.token}; HttpOnly; SameSite=Lax; Path=/"


@attrs.frozen
class ErrorResponse:
    """The answer is an error with this text."""

    status: HTTPStatus
    text: str
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class LogIn:
    """The browser gets the cookie, and goes on to the site."""

    by_page: bool
    """Whether to go on through a page of ours. A browser counts a redirect as a request of the page that had
    the link, and refuses to go on from a page of another origin."""


@attrs.frozen
class OwnFile:
    """The answer is a file of the gateway."""

    name: str


@attrs.frozen
class SiteFile:
    """The answer is a file of the site."""

    names: tuple[str, ...]
    """The names of the folders from the site's root, and of the file."""


@attrs.frozen
class WebSocketUpgrade:
    """The browser opens a WebSocket."""


Decision: TypeAlias = ErrorResponse | LogIn | OwnFile | SiteFile | WebSocketUpgrade


def authorize_untrusted(address: GatewayAddress, method: str, target: str, get_all: GetAll) -> Decision:
    """Decide about a request. `target` is its path and query, as sent. Raises nothing."""
    if get_all("Host") != [address.host]:
        return ErrorResponse(HTTPStatus.MISDIRECTED_REQUEST, "This is not the address of this gateway.")
    if method not in _METHODS:
        return ErrorResponse(
            HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD.", {"Allow": ", ".join(_METHODS)}
        )
    if not target.startswith("/") or not _PRINTABLE.fullmatch(target):
        return ErrorResponse(HTTPStatus.BAD_REQUEST, "The path is malformed.")
    path = target.partition("?")[0]
    site = get_all("Sec-Fetch-Site")
    if path.startswith(LOGIN):
        if not same(path.removeprefix(LOGIN), address.token):
            return _forbidden("The token is wrong.")
        return LogIn(by_page=site not in ([], ["none"], ["same-origin"]))
    error = _check_cookie_and_origin(address, site, get_all, socket=path == SOCKET)
    if error is not None:
        return error
    if path == SOCKET:
        return WebSocketUpgrade()
    if path.startswith(OWN):
        name = path.removeprefix(OWN)
        return OwnFile(name) if name in OWN_FILES else _not_found()
    names = _split_untrusted(path)
    return _not_found() if names is None else SiteFile(names)


def _check_cookie_and_origin(
    address: GatewayAddress, site: list[str], get_all: GetAll, *, socket: bool
) -> ErrorResponse | None:
    """Refuse every request that is not one of our own pages, or of the browser's user."""
    if not has_cookie(get_all("Cookie"), cookie_name(address.port), address.token):
        return _forbidden("Open the address that peersockets serve has printed.")
    if socket:
        if get_all("Origin") != [address.origin]:
            return _forbidden("A page of another origin may not connect.")
        if site not in ([], ["same-origin"]):  # browsers may leave it out for WebSockets
            return _forbidden("Another site may not connect.")
        return None
    if get_all("Origin") not in ([], [address.origin]):
        return _forbidden("A page of another origin may not read this.")
    if site not in (["none"], ["same-origin"]):
        return _forbidden("Another site may not read this or lead here. Enter the address by hand.")
    return None


def _split_untrusted(path: str) -> tuple[str, ...] | None:
    """Return the names in a path, decoded once; None for a path that no file has.

    A path that ends with a slash is a folder's, and has the name of its index file.
    """
    if not _ESCAPES.fullmatch(path):
        return None
    names = []
    for part in path[1:].split("/"):
        try:
            names.append(unquote_to_bytes(part).decode())
        except UnicodeDecodeError:
            return None
    if not names[-1]:
        names[-1] = INDEX
    for name in names:
        if not name or name.startswith(".") or not name.isprintable() or "/" in name or "\\" in name:
            return None
    return tuple(names)


def _forbidden(text: str) -> ErrorResponse:
    return ErrorResponse(HTTPStatus.FORBIDDEN, text)


def _not_found() -> ErrorResponse:
    return ErrorResponse(HTTPStatus.NOT_FOUND, "There is no such file.")
