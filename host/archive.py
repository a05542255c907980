"""Static libraries: the members of an ``ar`` archive, as GNU and BSD tools write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kit.errors import ToolchainError

_MAGIC = b"!<arch>\n"
_THIN_MAGIC = b"!<thin>\n"
_HEADER_BYTES = 60
_HEADER_END = b"`\n"
_INDEX_NAMES = ("/", "/SYM64/", "__.SYMDEF", "__.SYMDEF SORTED", "__.SYMDEF_64")
_LONG_NAMES = "//"


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member, in the archive's order, without its symbol index.

    Raises:
        ToolchainError: unreadable, no archive, a thin one (it holds only names), cut short or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ToolchainError(f"{path}: cannot be read: {error.strerror}") from None
    if data.startswith(_THIN_MAGIC):
        raise ToolchainError(
            f"{path} is a thin archive, which names its object files instead of holding them",
            "make it without the option T of ar",
        )
    if not data.startswith(_MAGIC):
        raise ToolchainError(f"{path} is no static library", "name the archive (.a) in TFLM_LIBRARY")
    long_names = b""
    offset = len(_MAGIC)
    while offset < len(data):
        header = data[offset : offset + _HEADER_BYTES]
        name, size = _parse_header(path, offset, header)
        start = offset + _HEADER_BYTES
        content = data[start : start + size]
        if len(content) != size:
            raise _damaged(path, offset, f"{name} is cut after {len(content)} of {size} bytes")
        if name == _LONG_NAMES:
            long_names = content
        elif name.startswith("#1/"):
            name, content = _split_bsd_name(path, offset, name, content)
        elif name.startswith("/") and name[1:].isdigit():
            name = _long_name(path, offset, long_names, int(name[1:]))
        offset = start + size + size % 2
        if name not in (*_INDEX_NAMES, _LONG_NAMES):
            yield name.rstrip("/"), content


def _damaged(path: Path, offset: int, what: str) -> ToolchainError:
    return ToolchainError(f"{path}: damaged at byte {offset}: {what}", "build the library again")


def _parse_header(path: Path, offset: int, header: bytes) -> tuple[str, int]:
    size = header[48:58].strip()
    if len(header) != _HEADER_BYTES or not header.endswith(_HEADER_END) or not size.isdigit():
        raise _damaged(path, offset, "no header of a member")
    return header[:16].decode("latin-1").rstrip(" "), int(size)


def _split_bsd_name(path: Path, offset: int, name: str, content: bytes) -> tuple[str, bytes]:
    """BSD's long names stand before the content; ``#1/LENGTH`` tells how long they are."""
    length = name.removeprefix("#1/")
    if not length.isdigit() or int(length) > len(content):
        raise _damaged(path, offset, f"name {name!r}")
    return content[: int(length)].rstrip(b"\0").decode("latin-1"), content[int(length) :]


def _long_name(path: Path, offset: int, names: bytes, start: int) -> str:
    end = names.find(b"/\n", start)
    if not 0 <= start < len(names) or end < 0:
        raise _damaged(path, offset, "the name of a member is missing")
    return names[start:end].decode("latin-1")
