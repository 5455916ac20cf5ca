"""`peersockets chat`: a conversation on a drive, in a terminal or line by line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import click
import trio

from peersockets_core import Address, DriveKey, Message, PeerEvent, PeerJoined, PeersocketsError

from ..drive import Drive
from ..node import Node
from ..swarm import Swarm
from ..topic import Topic
from . import streams
from .completing import Completion, complete
from .console import Console, open_console
from .ending import Ending, run
from .feed import Feed
from .options import NodeOptions, drive_argument, node_options
from .outboxes import Outboxes
from .swarming import MEETING_TIME, SwarmReport, announced_line, explain_absence, found_line
from .text import UNREACHABLE, outcome, printable, short_name, show_message_untrusted

_TOPIC = "chat"
_NOTICE = "*"
_HELP = """\
/peers           who is here
/to ID TEXT      say something to one peer only
/disconnect ID   close the connections to a peer
/topic NAME      say what follows on another topic
/help            show this list
/quit            leave, as Ctrl-D does
//TEXT           say something that begins with a slash"""


@click.command()
@drive_argument
@click.option("--show-url", is_flag=True, help="Show the drive's URL; everyone who reads it can join.")
@node_options
def chat(drive: DriveKey, show_url: bool, options: NodeOptions) -> int:
    """Talk to the peers of DRIVE: what you type goes to all of them.

    The topic is "chat" unless --topic says otherwise. With several topics, each line shows its topic, and you
    talk on the first one until you say /topic NAME. A peer is shown by its id and the beginning of its key.

    \b
    Commands, while it runs:
        /peers           who is here
        /to ID TEXT      say something to one peer only
        /disconnect ID   close the connections to a peer
        /topic NAME      say what follows on another topic
        /help            show this list
        /quit            leave, as Ctrl-D does
        //TEXT           say something that begins with a slash

    Tab completes commands, peers by id or key, and topics. Ctrl-Z suspends the chat; the shell's `fg`
    continues it.

    A peer that does not keep up does not hold up others: up to 16 MiB of messages wait for it. The chat shows
    when a peer misses messages.

    If stdin or stdout is not a terminal, the chat reads and writes plain lines. If stdin is not a terminal,
    it says every line of the input, whatever the line begins with. Unless the chat only listens, the first
    line waits for a peer until the chat is 10 seconds old; if none comes, the exit status is 1. Input
    without a line ends the chat at once. At the end of the input, and after SIGTERM or Ctrl-C, the chat
    leaves when everything has been sent. A second signal ends it at once. The exit status is 0, or 130
    after Ctrl-C, or 1 if a peer did not take everything.

    \b
    Examples:
        peersockets chat DRIVE --listen 127.0.0.1:4200
        peersockets chat DRIVE --connect 127.0.0.1:4200 --wire hypercore9
        date | peersockets chat DRIVE --connect 127.0.0.1:4200
    """
    streams.check_stdin()
    return run(_run, drive, drive.url if show_url else f"drive {drive}", options)


async def _run(ending: Ending, key: DriveKey, name: str, options: NodeOptions) -> int:
    report = SwarmReport()
    async with (
        options.open_node(report) as node,
        options.open_swarm(ending, node) as swarm,
        trio.open_nursery() as nursery,
    ):
        with ending.unless_asked() as starting:
            listening = await options.start(node)
        if starting.cancelled_caught:
            return 0
        drive = node.open_drive(key, topic_scope=options.topic_scope)
        # Join before any peer can connect, so that no message is missed.
        topics = [drive.join(name) for name in dict.fromkeys(options.topics or (_TOPIC,))]
        async with open_console(ending) as console, trio.open_nursery() as chat_nursery:
            session = Chat(node, drive, topics, console, chat_nursery, nursery)
            session.introduce(name, listening, options)
            report.announced, report.found = session.show_announced, session.show_found
            options.join(swarm, drive)
            chat_nursery.start_soon(options.keep_connected, node, chat_nursery, session.report_failure)
            if console.typed and swarm is not None:
                chat_nursery.start_soon(explain_absence, drive, swarm, report, session.show_notice)
            until_heard = partial(session.until_heard, ending, lambda: _explain(swarm, report))
            waits = not console.typed and (options.connect or swarm is not None)
            said = await session.run(until_heard if waits else None)
            if not console.interactive:
                await session.outboxes.drain()
            chat_nursery.cancel_scope.cancel()
        if console.interactive:
            await session.outboxes.drain()
        losses = await session.outboxes.finish(topics)
    for loss in losses:
        streams.complain(str(loss))
    if not said:
        if ending.name:
            streams.complain(f"ended by {ending.name}; nothing was said")
        return ending.unfinished
    return 1 if losses or (session.outboxes.refused and not console.typed) else console.status


def _explain(swarm: Swarm | None, report: SwarmReport) -> str:
    return "" if swarm is None else f" ({report.explain(swarm.statistics().nodes)})"


class Chat:
    """One conversation."""

    def __init__(
        self,
        node: Node,
        drive: Drive,
        topics: list[Topic],
        console: Console,
        nursery: trio.Nursery,
        outbox_nursery: trio.Nursery,
    ) -> None:
        self.outboxes = Outboxes(node, drive, outbox_nursery, lambda error: console.complain(str(error)))
        self._node = node
        self._drive = drive
        self._console = console
        self._met = trio.Event()
        self._meeting_ends = trio.current_time() + MEETING_TIME
        self._feed = Feed(drive, member=self._show_member, message=self._show_message, room=console.room)
        self._feed.topics = {topic.name: topic for topic in topics}
        self._topic = topics[0]
        self._name_topic()
        nursery.start_soon(self._feed.follow_members)
        for topic in topics:
            nursery.start_soon(self._feed.follow_topic, topic)
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "peers": self._peers,
            "to": self._to,
            "disconnect": self._disconnect,
            "topic": self._switch,
            "help": self._help,
        }
        console.complete = self._complete

    def introduce(self, drive_name: str, listening: list[Address], options: NodeOptions) -> None:
        """Show the topics, the drive, our keys on the wires in use, and our addresses."""
        names = ", ".join(self._feed.topics)
        self._console.write(_NOTICE, f"topic {names} of {drive_name}")
        for wire in options.wires:
            self._console.write(_NOTICE, f"you are {self._node.public_keys[wire].hex()} on {wire}")
        for address in listening:
            self._console.write(_NOTICE, f"listening on {address}")
        if not options.reachable:
            self._console.write(_NOTICE, UNREACHABLE)
        if self._console.typed:
            self._console.write(_NOTICE, "/help shows the commands")

    def report_failure(self, error: Exception, text: str) -> None:
        """Show a failure to connect."""
        self._console.complain(f"{text}; trying again")

    def show_notice(self, text: str) -> None:
        """Show a line that is no message."""
        self._console.write(_NOTICE, text)

    def show_announced(self, nodes: int) -> None:
        """Show that others can find us."""
        self._console.write(_NOTICE, announced_line(nodes))

    def show_found(self, public_key: bytes) -> None:
        """Show that the swarm has found a peer."""
        self._console.write(_NOTICE, found_line(public_key))

    async def until_heard(self, ending: Ending, why: Callable[[], str]) -> bool:
        """Wait until a member has joined; returns False if the command was asked to end first.

        Raises `click.ClickException` if that takes too long.
        """
        if self._met.is_set():
            return True
        with trio.move_on_at(self._meeting_ends) as meeting, ending.unless_asked():
            await self._met.wait()
        if meeting.cancelled_caught:
            raise click.ClickException(
                f"nobody was there within {MEETING_TIME:g} seconds{why()}; nothing was said"
            )
        return self._met.is_set()

    async def run(self, until_heard: Callable[[], Awaitable[bool]] | None) -> bool:
        """Run until the input ends, or the user quits.

        The first line waits for `until_heard`. If that returns False, this says no line and returns
        False, too.
        """
        async for line in self._console.lines():
            if until_heard is not None and not await until_heard():
                return False
            until_heard = None
            if self._console.typed and line.strip() == "/quit":
                break
            try:
                await (self._obey(line) if self._console.typed else self._broadcast(line))
            except PeersocketsError as error:
                self._console.complain(str(error))
            await self._console.room()
        return True

    async def _obey(self, line: str) -> None:
        """Carry out a typed line."""
        if not line.strip():
            return
        if not line.startswith("/"):
            await self._broadcast(line)
            return
        if line.startswith("//"):
            await self._broadcast(line[1:])
            return
        name, _, argument = line[1:].strip().partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._console.complain(f"no command /{name[:80]}; /help shows the commands")
        else:
            await command(argument)

    # Commands

    async def _broadcast(self, text: str) -> None:
        if not await self.outboxes.broadcast(self._topic, _encode(text)):
            self._console.complain("no peer is here to receive this")

    async def _to(self, argument: str) -> None:
        number, _, text = argument.strip().partition(" ")
        peer_id = _peer_id(number)
        if peer_id is None or not text:
            self._console.complain("usage: /to ID TEXT")
        else:
            await self.outboxes.send(self._topic, peer_id, _encode(text))

    async def _disconnect(self, argument: str) -> None:
        peer_id = _peer_id(argument.strip())
        if peer_id is None:
            self._console.complain("usage: /disconnect ID")
        else:
            self._node.disconnect(peer_id)

    async def _peers(self, argument: str) -> None:
        peers = self._drive.peers.values()
        for peer in peers:
            address = f" at {peer.address}" if peer.address else ""
            self._console.write(f"{peer.peer_id}", f"{peer.public_key.hex()} on {peer.wire}{address}")
        if not peers:
            self._console.write(_NOTICE, "no other peer is here")

    async def _switch(self, argument: str) -> None:
        name = argument.strip()
        topic = self._feed.topics.get(name)
        if topic is None:
            joined = ", ".join(self._feed.topics)
            self._console.complain(f"usage: /topic NAME, with one of {joined}")
        else:
            self._topic = topic
            self._name_topic()

    async def _help(self, argument: str) -> None:
        for line in _HELP.splitlines():
            self._console.write(_NOTICE, line)

    def _name_topic(self) -> None:
        if len(self._feed.topics) > 1:
            self._console.prompt = f"{printable(self._topic.name)}> "

    def _complete(self, text: str) -> Completion:
        keys = {peer_id: peer.public_key for peer_id, peer in self._drive.peers.items()}
        return complete(text, (*self._commands, "quit"), keys, self._feed.topics)

    # Events

    def _show_member(self, event: PeerEvent) -> None:
        if isinstance(event, PeerJoined):
            self._met.set()
        name = short_name(event.peer_id, event.public_key)
        self._console.write(_NOTICE, f"{name} {outcome(event)}")

    async def _show_message(self, topic: Topic, message: Message) -> None:
        name = short_name(message.peer_id, message.public_key)
        where = f" {topic.name}" if len(self._feed.topics) > 1 else ""
        first, *others = show_message_untrusted(message.message)
        self._console.write(f"{name}{where}:", first)
        for line in others:
            self._console.write("   ", line)


def _encode(text: str) -> bytes:
    # Send the bytes of the terminal or file unchanged, even if they are not UTF-8.
    return text.encode(errors="surrogateescape")


def _peer_id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
