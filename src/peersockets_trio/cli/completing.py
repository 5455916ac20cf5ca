"""Completes what a user of the chat types: the names of commands, peers and topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from .text import short_name

_MAX_SHOWN: Final = 20
"""Choices that are shown; a drive may have thousands of members."""


@attrs.frozen
class Completion:
    """The completion of the text before the cursor."""

    text: str
    """The text, as far as it is certain."""
    shown: tuple[str, ...] = ()
    """The ways in which it may go on, for people, if there are several."""


@attrs.frozen
class _Choice:
    text: str
    shown: str


def complete(
    text: str, commands: Iterable[str], peers: Mapping[int, bytes], topics: Iterable[str]
) -> Completion:
    """Complete the text before the cursor.

    `commands` and `topics` are names, and `peers` has the public key of each member by its id. A peer can be
    typed as the beginning of its id or of its key; its id is then put in.
    """
    name, space, argument = text.partition(" ")
    if not text.startswith("/") or text.startswith("//"):
        return Completion(text)
    if not space:
        return _complete("", text, _names(text, (f"/{each}" for each in commands)))
    argument = argument.lstrip(" ")
    head = text[: len(text) - len(argument)]
    match name:
        case "/topic":
            return _complete(head, argument, _names(argument, topics))
        case "/to" | "/disconnect" if " " not in argument:
            return _complete(head, argument, _peers(argument, peers))
    return Completion(text)


def _names(typed: str, names: Iterable[str]) -> list[_Choice]:
    return [_Choice(name, name) for name in names if name.startswith(typed)]


def _peers(argument: str, peers: Mapping[int, bytes]) -> list[_Choice]:
    """Return the peers that are meant by their ids, or else those that are meant by their keys."""
    choices = {peer_id: _Choice(str(peer_id), short_name(peer_id, key)) for peer_id, key in peers.items()}
    meant = [choice for choice in choices.values() if choice.text.startswith(argument)]
    if meant:
        return meant
    return [choices[each] for each, key in peers.items() if key.hex().startswith(argument.lower())]


def _complete(head: str, typed: str, choices: list[_Choice]) -> Completion:
    """Complete what was `typed` after `head`, as far as all choices agree."""
    match choices:
        case []:
            return Completion(head + typed)
        case [only]:
            return Completion(f"{head}{only.text} ")
    texts = sorted(each.text for each in choices)
    common = next(
        end for size in range(len(texts[0]), -1, -1) if texts[-1].startswith(end := texts[0][:size])
    )
    if common != typed and common.startswith(typed):
        return Completion(head + common)
    shown = tuple(each.shown for each in choices[:_MAX_SHOWN])
    more = (f"and {len(choices) - _MAX_SHOWN} more",) if len(choices) > _MAX_SHOWN else ()
    return Completion(head + typed, shown + more)
