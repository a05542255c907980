"""The message registry, and the C header and document made from it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from kit.errors import ArtifactError
from kit.files import asset
from kit.render.protocol import render_protocol_header
from kit.wire.docs import render_protocol_document
from kit.wire.messages import Hello
from kit.wire.registry import BY_NAME, MESSAGES
from kit.wire.status import find_status, parse_status_header, status_table
from tests.support import need


def test_codes_and_names_are_unique_and_tell_the_direction() -> None:
    assert len({m.code for m in MESSAGES}) == len({m.name for m in MESSAGES}) == len(MESSAGES)
    assert all((m.code >= 0x80) == (m.direction == "device") for m in MESSAGES)
    assert all(bool(m.answer) == (m.direction == "host") for m in MESSAGES)
    assert all(BY_NAME[m.answer].direction == "device" for m in MESSAGES if m.answer)


def test_request_numbers_stand_where_every_version_finds_them() -> None:
    assert all(m.offset("request") == 1 for m in MESSAGES if any(f.name == "request" for f in m.fields))
    assert BY_NAME["HELLO"].offset("protocol") == 2
    assert BY_NAME["HELLO"].fixed_bytes == 65
    with pytest.raises(KeyError):
        BY_NAME["HELLO"].offset("nonsense")


def test_hello_view_has_the_registry_fields() -> None:
    own = [f.name for f in fields(Hello) if f.name != "coding"]  # which stands in a bit of side_information
    assert ["request", *own] == [f.name for f in BY_NAME["HELLO"].fields]


def test_header_compiles_alone_and_defines_each_macro_once(tmp_path: Path) -> None:
    text = render_protocol_header()
    assert text == render_protocol_header()
    names = re.findall(r"^#define (\w+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    (tmp_path / "kit_protocol.h").write_text(text)
    requests = sum(message.direction == "host" for message in MESSAGES)
    for tool, language in (("gcc", "c"), ("g++", "c++")):
        source = tmp_path / "use.c"
        source.write_text(
            '#include "kit_protocol.h"\nint check[KIT_MSG_HELLO_BYTES == 65u ? 1 : -1];\n'
            "#define ONE(name, code, fixed, tail, is_long) + 1\n"
            f"int count[(0 KIT_HOST_MESSAGE_LIST(ONE)) == {requests} ? 1 : -1];\n"
        )
        command = [need(tool), "-x", language, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", str(source)]
        subprocess.run(command, check=True)


def test_document_is_current() -> None:
    committed = asset("firmware", "PROTOCOL.md").read_text(encoding="utf-8")
    assert committed == render_protocol_document(), "run python -m kit.wire.docs"


def test_document_names_every_message_field_and_status() -> None:
    text = render_protocol_document()
    for message in MESSAGES:
        assert f"0x{message.code:02X} {message.name}" in text
        assert all(f"| {field.name} |" in text for field in message.fields)
    assert all(f"| KIT_{status.name} | {status.text} |" in text for status in status_table())


def test_status_table_is_read_from_c() -> None:
    assert find_status(0).name == "OK"
    assert all(-128 <= status.value <= 127 for status in status_table())
    assert find_status(-128).name == "UNKNOWN"
    with pytest.raises(ArtifactError):
        parse_status_header("nothing here")
    with pytest.raises(ArtifactError):
        parse_status_header('X(A, 1, "a") X(B, 1, "b")')
