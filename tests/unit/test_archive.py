"""Static libraries are read member by member; what is none, thin, cut or damaged is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import ToolchainError
from kit.host.archive import read_members
from kit.host.tflm_library import read_library
from tests.tflm_archives import RELEASE, archive

LONG = "a_name_far_longer_than_the_sixteen_bytes_of_a_header.o"


def header(name: str, size: int) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{size:<10}`\n".encode()


def test_members_of_a_gnu_archive(tmp_path: Path) -> None:
    members = {"conv.o": RELEASE["conv.o"], LONG: RELEASE["common.o"]}
    found = dict(read_members(archive(tmp_path / "a.a", members)))
    assert list(found) == ["conv.o", LONG]
    for name, content in found.items():
        assert content == (tmp_path / "a-objects" / name).read_bytes()


def test_members_of_a_bsd_archive(tmp_path: Path) -> None:
    path = tmp_path / "b.a"
    long_name = LONG.encode().ljust(56, b"\0")
    path.write_bytes(
        b"!<arch>\n"
        + header("__.SYMDEF SORTED", 4)
        + b"\0\0\0\0"
        + header("#1/56", 56 + 3)
        + long_name
        + b"abc\n"
        + header("short.o", 2)
        + b"de"
    )
    assert list(read_members(path)) == [(LONG, b"abc"), ("short.o", b"de")]


def test_a_thin_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "t.a", RELEASE, mode="rcsDT")
    with pytest.raises(ToolchainError, match=r"t\.a is a thin archive"):
        list(read_members(path))


def test_every_cut_is_an_error_or_whole_members(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.a", {"conv.o": RELEASE["conv.o"], LONG: RELEASE["common.o"]})
    data, complete = whole.read_bytes(), list(read_members(whole))
    cut = tmp_path / "cut.a"
    refused = 0
    for length in range(0, len(data) - 1, 7):
        cut.write_bytes(data[:length])
        try:
            assert list(read_members(cut)) in (complete[:0], complete[:1])
        except ToolchainError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_what_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "x.a"
    for content, expected in (
        (b"", "is no static library"),
        (b"\x7fELF", "is no static library"),
        (b"!<arch>\n", "is an empty library"),
        (b"!<arch>\n" + header("x.o", 4) + b"text", r"x\.o in .*x\.a is no ELF object"),
        (b"!<arch>\n" + header("/99", 0), "the name of a member is missing"),
        (b"!<arch>\n" + header("#1/9", 2) + b"ab", "damaged at byte 8"),
        (b"!<arch>\n" + b"x" * 60, "no header of a member"),
    ):
        path.write_bytes(content)
        with pytest.raises(ToolchainError, match=expected):
            read_library(path)
    with pytest.raises(ToolchainError, match="cannot be read"):
        read_library(tmp_path / "absent.a")


def test_link_time_optimisation_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "lto.a", RELEASE, ("gcc", "-flto", "-fno-fat-lto-objects"))
    with pytest.raises(ToolchainError, match=r"link-time optimisation: common\.o holds no code"):
        read_library(path)
