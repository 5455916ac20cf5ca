from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from peersockets_trio.browser.files import IsFolder, Site, TooLarge


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    site = Site(root, 1000)
    yield site
    site.close()


def test_files_and_their_types(root: Path, site: Site) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "style.CSS").write_bytes(b"p {}")
    (root / "data").write_bytes(b"\0")
    (root / "page.html").write_bytes(b"<head>")
    content = site.read(("a", "b", "style.CSS"))
    assert (content.media_type, content.body) == ("text/css; charset=utf-8", b"p {}")
    assert site.read(("data",)).media_type == "application/octet-stream"
    page = site.read(("page.html",))
    assert page.media_type == "text/html; charset=utf-8"
    assert page.body.startswith(b"<head><script src=")


@pytest.mark.parametrize("names", [("no",), ("no", "a"), ("page", "a"), ("a" * 300,), ("a\0b",)])
def test_a_missing_file(root: Path, site: Site, names: tuple[str, ...]) -> None:
    (root / "page").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        site.read(names)


def test_a_folder_is_no_file(root: Path, site: Site) -> None:
    (root / "a").mkdir()
    with pytest.raises(IsFolder):
        site.read(("a",))


def test_links_are_not_followed(root: Path, site: Site) -> None:
    (root / "inner.txt").write_text("public")
    (root / "out.txt").symlink_to(root.parent / "secret.txt")
    (root / "in.txt").symlink_to("inner.txt")
    (root / "up").symlink_to(root.parent)
    for names in (("out.txt",), ("in.txt",), ("up", "secret.txt"), ("up", "site", "inner.txt")):
        with pytest.raises(FileNotFoundError):
            site.read(names)


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    (root / "a").write_bytes(b"a")
    link = root.parent / "link"
    link.symlink_to(root)
    site = Site(link, 1000)
    assert site.read(("a",)).body == b"a"
    site.close()
    with pytest.raises(FileNotFoundError):
        Site(root / "no", 1000)


def test_only_regular_files_are_served_and_nothing_blocks(root: Path, site: Site) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(FileNotFoundError):
                site.read((name,))


def test_a_file_that_became_a_pipe_does_not_block(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "file").write_bytes(b"")
    status = os.stat

    def exchange(*arguments: object, **options: object) -> os.stat_result:
        found = status(*arguments, **options)  # type: ignore[arg-type]
        (root / "file").unlink()
        os.mkfifo(root / "file")
        return found

    monkeypatch.setattr(os, "stat", exchange)
    with pytest.raises(FileNotFoundError):
        site.read(("file",))


def test_a_large_file_is_not_read(root: Path, site: Site) -> None:
    (root / "largest").write_bytes(bytes(1000))
    assert len(site.read(("largest",)).body) == 1000
    (root / "larger").write_bytes(bytes(1001))
    os.truncate(root / "larger", 2**40)
    with pytest.raises(TooLarge):
        site.read(("larger",))


def test_a_file_that_grows_is_not_read_further(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of /proc has no size, and still has content."""
    site = Site(Path("/proc/self"), 10)
    with pytest.raises(TooLarge):
        site.read(("maps",))
    site.close()


def test_every_descriptor_is_closed(root: Path, site: Site) -> None:
    (root / "a").mkdir()
    (root / "a" / "file").write_bytes(b"")
    before = len(os.listdir("/proc/self/fd"))
    for names in (("a", "file"), ("a", "no"), ("a",), ("no", "file")):
        for _ in range(10):
            with suppress(FileNotFoundError, IsFolder):
                site.read(names)
    assert len(os.listdir("/proc/self/fd")) == before
