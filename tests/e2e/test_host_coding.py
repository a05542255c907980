"""Range-coded packets on the whole way: device, serial line, capture, bare packets, decoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import ArtifactError, ShapeError
from kit.files import read_npz
from kit.host.capture import CaptureOptions, capture
from kit.host.capture_reader import CaptureReader
from kit.host.emulator import start_native
from kit.host.link import Link
from kit.host.validate import random_frames, validate, vector_frames
from kit.quantize.coding import Shape, candidate_shapes
from kit.wire.bare import split_bare
from kit.wire.coding import CODING_FILE, PLACES_MAX
from tests.c_support import AOT, APP_SOURCES, C_TESTS, CODEC_SOURCES, RUNTIME, compile_c, render_random, run_c
from tests.firmware_folder import make_firmware
from tests.models import tiny_config
from tests.support import need, need_target, seed

pytestmark = pytest.mark.alone

MODEL = {"embedding_dim": 4, "latent_width": 16, "num_levels": 2, "num_stages": 2, "base_filters": 4}


@pytest.mark.parametrize(
    ("frames_per_packet", "side_information", "predictor"),
    [(1, True, "classes"), (3, True, "network"), (2, False, "classes")],
)
def test_range_coded_packets_survive_the_whole_way(
    frames_per_packet: int, side_information: bool, predictor: str, tmp_path: Path
) -> None:
    need("make")
    need("gcc")
    packet = {
        "coding": "range", "frames_per_packet": frames_per_packet, "side_information": side_information,
        "context": predictor,
    }  # fmt: skip
    firmware = make_firmware(tmp_path / "build", packet=packet, firmware={"embedded_frames": 7})
    layout = firmware.layout
    assert layout.variable and layout.model is not None
    report = validate(firmware, ["native", "uart:native"], vector_frames(firmware))
    assert report.passed, report.outcomes
    assert validate(firmware, ["native"], random_frames(firmware, 60, seed())).passed
    with start_native(firmware.build("app")) as device:
        options = CaptureOptions(
            device.port, out=tmp_path / "a.kitcap", mode="fast", packets=20, any_build=True, silence_s=20
        )
        state = capture(options)
        with Link.open(device.port) as link:
            hello = link.hello()
            assert link.request("SELF_TEST", 20.0).integer("failed") == 0
    assert state.tracker.received == 20 and state.tracker.lost == 0 and state.malformed == 0
    assert hello.layout == layout and hello.packet_bytes == layout.body_bytes
    with CaptureReader(tmp_path / "a.kitcap") as reader:
        assert reader.header.layout == layout
        bodies = [record.body for record in reader if hasattr(record, "body")]
        frames = [frame for body in bodies for frame in reader.header.frames(body)]
        with pytest.raises(ShapeError, match="coding model of the build is not at hand"):
            reader.header.layout.unpack_packet(bodies[0])
    recorded = vector_frames(firmware).recorded
    assert recorded is not None and len(bodies) == 20
    expected = layout.bodies(recorded.packets)
    assert frames == [expected[number % 7] for number in range(20 * frames_per_packet)]
    assert len({len(frame) for frame in expected}) > 1, "frames of several lengths are part of the test"
    found = [layout.unpack_packet(body).indices for body in bodies]
    assert np.array_equal(np.concatenate(found), recorded.indices[np.arange(20 * frames_per_packet) % 7])


@pytest.mark.parametrize(
    ("board", "predictor"),
    [
        ("microbit", "classes"), ("mps2-an386", "classes"), ("microbit", "network"), ("mps2-an385", "network"),
        ("mps2-an386", "network"), ("mps3-an547", "network"), ("riscv-virt", "network"),
    ],
)  # fmt: skip
def test_emulated_boards(board: str, predictor: str, tmp_path: Path) -> None:
    need_target(board)
    packet = {"coding": "range", "context": predictor}
    model = {"latent_width": 512, "num_levels": 3 if predictor == "classes" else 1}
    firmware = make_firmware(tmp_path / "build", packet=packet, model=model)
    assert firmware.coding is not None and 0 < firmware.coding.table_bytes <= 4096
    assert (firmware.coding.levels[0].network is not None) == (predictor == "network")
    report = validate(firmware, [f"qemu:{board}"], vector_frames(firmware))
    assert report.passed, report.outcomes


def first_shape(*sizes: Any, **options: Any) -> list[Shape]:
    """Frequencies alone: contexts of many entries take long to find."""
    return candidate_shapes(*sizes, **options)[:1]


@pytest.mark.parametrize(("frames_per_packet", "latent_width"), [(1, 16), (2, 16), (2, 2048)])
def test_bare_packets_from_the_device_code(
    frames_per_packet: int, latent_width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packet = {"coding": "range", "frames_per_packet": frames_per_packet}
    config = tiny_config(packet=packet, model={"latent_width": latent_width}, firmware={"embedded_frames": 8})
    if latent_width > PLACES_MAX:
        monkeypatch.setattr("kit.quantize.coding.candidate_shapes", first_shape)
    rendered = render_random(config, tmp_path / "generated", seed())
    assert rendered.coding is not None and rendered.coding.table_bytes > 0
    sources = [*CODEC_SOURCES, *APP_SOURCES, *sorted(rendered.folder.glob("*.c"))]
    sources += [C_TESTS / "fake_port.c", C_TESTS / "bare_packet_main.c"]
    program = compile_c("gcc", sources, (RUNTIME, AOT, rendered.folder, C_TESTS), tmp_path / "bare_packet")
    from kit.wire.packet import PacketLayout

    layout = PacketLayout.from_config(config, rendered.coding)
    data = run_c(program)
    found = list(split_bare(data, layout))
    assert [each.seq for each in found] == list(range(8 // frames_per_packet))
    frames = np.concatenate([layout.frames(each.body) for each in found])
    assert np.array_equal(frames, rendered.expected.packets[:8])
    with pytest.raises(ShapeError, match="in whole"):
        list(split_bare(data[:-1], layout))


def test_a_random_firmware_of_many_entries_has_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.quantize.coding.candidate_shapes", first_shape)
    firmware = make_firmware(tmp_path / "build", packet={"coding": "range"}, model={"latent_width": 2048})
    assert firmware.coding is not None and firmware.layout.index_bits == 11
    assert all(level.in_place and not level.uniform for level in firmware.coding.levels)


def test_a_build_without_its_coding_model_is_refused(tmp_path: Path) -> None:
    firmware = make_firmware(tmp_path / "build", packet={"coding": "range"})
    expected = read_npz(firmware.artifacts / "vectors.npz")["packets"]
    assert expected.shape[1] == firmware.layout.row_bytes == firmware.layout.frame_bytes + 2
    (firmware.artifacts / CODING_FILE).unlink()
    with pytest.raises(ArtifactError, match=r"coding\.npz"):
        _ = replace(firmware).build_hash
