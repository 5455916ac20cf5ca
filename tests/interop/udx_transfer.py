"""Pass data between a Python and a Node program, both ways, over a line that loses packets.

Shows the digests of both sides:

    PYTHONPATH=tests python -m interop.udx_transfer --mib 64 --loss 0.05
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable

import trio

from interop.node_peer import JsonObject
from interop.udx_peer import MIB, Meeting, meet, pseudorandom

CHUNK = 256 * 1024


async def transfer(mib: int, loss: float, say: Callable[[str], object] = print) -> None:
    """Pass this many MiB each way. Raises `AssertionError` if a digest differs."""
    line = {"delay": 0.005, "jitter": 0.001, "reorder": 0.01, "reorder_delay": 0.002, "loss": loss}
    async with meet(relay=line) as meeting:
        say(f"a line of 5 to 6 ms each way that loses {loss:.0%}, and holds back every hundredth packet")
        data = pseudorandom("Python to Node", mib * MIB)
        ours = hashlib.sha256(data).hexdigest()
        say(f"Python sends     {len(data):,} bytes  sha256 {ours}")
        began = trio.current_time()
        for start in range(0, len(data), CHUNK):
            await meeting.stream.send_all(data[start : start + CHUNK])
        await meeting.stream.send_eof()
        came = await meeting.wait_event("end", timeout=600)
        say(_received("Node", came, trio.current_time() - began))
        assert (came["bytes"], came["sha256"]) == (len(data), ours)
        await _say_losses(meeting, say)
    async with meet(relay=line) as meeting:
        began = trio.current_time()
        sent: list[JsonObject] = []

        async def send() -> None:
            sent.append(await meeting.call("source", seed="Node to Python", size=mib * MIB))

        received, total = hashlib.sha256(), 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            async for chunk in meeting.stream:
                received.update(chunk)
                total += len(chunk)
        await meeting.stream.send_eof()
        say(f"Node sends       {mib * MIB:,} bytes  sha256 {sent[0]['sha256']}")
        came = {"bytes": total, "sha256": received.hexdigest()}
        say(_received("Python", came, trio.current_time() - began))
        assert (came["bytes"], came["sha256"]) == (mib * MIB, sent[0]["sha256"])
        await _say_losses(meeting, say)


def _received(who: str, tally: JsonObject, seconds: float) -> str:
    rate = tally["bytes"] / seconds / 1e6
    head = f"{who} received".ljust(16)
    return f"{head} {tally['bytes']:,} bytes  sha256 {tally['sha256']}  ({rate:.1f} MB/s)"


async def _say_losses(meeting: Meeting, say: Callable[[str], object]) -> None:
    assert meeting.relay is not None
    both = list((await meeting.relay.change()).values())
    lost, offered = (sum(counts.get(name, 0) for counts in both) for name in ("lost", "offered"))
    say(f"the line lost    {lost:,} of {offered:,} packets ({lost / offered:.1%})")


def main() -> None:
    """Run with the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--loss", type=float, default=0.05)
    options = parser.parse_args()
    trio.run(transfer, options.mib, options.loss)


if __name__ == "__main__":
    main()
