"""`peersockets demo`."""

from __future__ import annotations

from cli.support import run


def test_the_demo_shows_every_step() -> None:
    done = run("demo")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    printed = iter(lines)
    for text in (
        "Alice opens drive ",
        "Bob connects to 127.0.0.1:",
        "Alice sees peer 1 join",
        "Bob hears from peer 1: hello, who is there?",
        "Alice hears from peer 1: it is Bob",
        "Alice sees peer 1 leave.",
    ):
        assert any(line.startswith(text) for line in printed), (text, lines)
    assert lines[-1] == "It works."
