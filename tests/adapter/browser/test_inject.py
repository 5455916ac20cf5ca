from __future__ import annotations

import pytest

from peersockets_trio.browser.inject import inject_script

TAG = '<script src="/.peersockets/peersockets.js"></script>'


@pytest.mark.parametrize(
    "page",
    [
        "|",
        "|text",
        "|<p>text",
        "<!doctype html>|<title>t</title>",
        "<!DOCTYPE html>\n<html lang=en>\n<head>|<meta charset=utf-8></head>",
        "\ufeff<!doctype html><html><head>|<title>",
        "<!-- <head> --><!doctype html><html><head>|<script>early()</script>",
        "<!doctype html><!-- a > b --><html data-x='>'><!-- y --><HEAD class=\"a>b\" >|</HEAD>",
        "<!doctype html><html><!-- y -->|<body>",
        "<!doctype html>|<header>not a head</header>",
        "|<htmlx><head>",
        "<html>|<body><p><head></p>",
        '<?xml version="1.0"?><html>|<title>',
        "|<!-- unclosed <head>",
        "|<html lang='unclosed><head>",
    ],
)
def test_the_script_comes_before_everything_in_the_head(page: str) -> None:
    expected = page.replace("|", TAG).encode()
    assert inject_script(page.replace("|", "").encode()) == expected


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_page_in_utf_16_stays_as_it_is(encoding: str) -> None:
    page = "\ufeff<html><head></head></html>".encode(encoding)
    assert inject_script(page) == page


@pytest.mark.parametrize("part", [" ", "<!--", "<html", "<html '", "<!", "<head \"'", "<html a>", "<!-- -->"])
def test_the_time_is_linear(part: str) -> None:
    # A page of this size takes days if the time is quadratic.
    page = part.encode() * 1_000_000
    assert len(inject_script(page)) == len(page) + len(TAG)
