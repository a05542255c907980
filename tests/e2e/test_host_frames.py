"""Several frames per packet, from the device through a capture to the decoder's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.build.summary import multi_frame_text
from kit.host.capture import CaptureOptions, capture
from kit.host.capture_reader import CaptureReader
from kit.host.emulator import start_native
from kit.host.link import Link
from kit.host.validate import validate, vector_frames
from kit.wire.packet import PacketLayout
from tests.firmware_folder import make_firmware
from tests.models import tiny_config
from tests.support import need

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("side_information", [True, False])
def test_frames_survive_the_whole_way(side_information: bool, tmp_path: Path) -> None:
    need("make")
    need("gcc")
    packet = {"frames_per_packet": 3, "side_information": side_information}
    firmware = make_firmware(tmp_path / "build", packet=packet, firmware={"embedded_frames": 7})
    layout = firmware.layout
    assert validate(firmware, ["uart:native"], vector_frames(firmware)).passed
    with start_native(firmware.build("app")) as device:
        options = CaptureOptions(
            device.port, out=tmp_path / "a.kitcap", mode="fast", packets=20, any_build=True, silence_s=20
        )
        state = capture(options)
        with Link.open(device.port) as link:
            hello = link.hello()
    assert state.tracker.received == 20 and state.tracker.lost == 0
    assert (hello.frames_per_packet, hello.packet_bytes) == (3, 3 * layout.frame_bytes)
    with CaptureReader(tmp_path / "a.kitcap") as reader:
        bodies = [record.body for record in reader if hasattr(record, "body")]
    assert len(bodies) == 20 and all(len(body) == layout.body_bytes for body in bodies)
    frames = np.concatenate([layout.frames(body) for body in bodies])
    recorded = vector_frames(firmware).recorded
    assert recorded is not None
    assert np.array_equal(frames, recorded.packets[np.arange(60) % 7])


def test_what_they_cost_and_save_is_said() -> None:
    config = tiny_config(packet={"frames_per_packet": 4})
    text = multi_frame_text(config)
    layout = PacketLayout.from_config(config)
    single = 9 + layout.frame_bytes
    saved = single - (9 + 4 * layout.frame_bytes) / 4
    assert text.startswith("4 frames per packet: a packet every 4 s instead of 1 s, so a frame waits up to 3 s longer;")
    assert f"{saved:.2f} of {single} bytes saved per frame" in text and "a lost packet loses 4 frames" in text


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("side_information", [True, False])
def test_overhead_per_packet(side_information: bool, bits: int) -> None:
    """At most 9 bytes besides side information, 13 with it, up to the length at which COBS needs a second code byte."""
    layout = PacketLayout.from_config(
        tiny_config(signal={"sample_bits": bits}, packet={"side_information": side_information})
    )
    assert layout.wire_bytes - layout.body_bytes == 9
    assert layout.wire_bytes - layout.index_bytes <= (13 if side_information else 9)
