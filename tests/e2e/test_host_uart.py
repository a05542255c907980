"""Host to device over a UART that holds one byte: with credits nothing is lost, without them it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from cobs import cobs
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import LinkError, LinkTimeout
from kit.host.firmware import Firmware
from kit.host.link import Link
from kit.host.link_runner import greet
from kit.host.pipeline import device_counters, encode_frames
from kit.host.soak_uart import soak
from kit.host.uart_model import Processor, UartModel, start_uart_model
from kit.host.validate import validate, vector_frames
from kit.wire.framing import frame
from kit.wire.messages import Decoded, crc16
from tests.firmware_folder import FRAMES, make_firmware
from tests.support import need, need_target

pytestmark = pytest.mark.alone

FAST = Processor(turn_us=30, turn_us_max=1000)
SLOW = Processor(turn_us=2000, turn_us_max=17500)
LINE_BYTES_PER_MS = 11.52


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    need("make")
    need("gcc")
    return make_firmware(tmp_path_factory.mktemp("uart"), signal={"frame_samples": 320})


@contextmanager
def device(firmware: Firmware, processor: Processor) -> Iterator[tuple[UartModel, Link]]:
    with start_uart_model(firmware, processor) as model, Link(model, clock=model.clock) as link:
        greet(link, firmware)
        yield model, link


@pytest.mark.parametrize("processor", [FAST, SLOW], ids=["line is slower", "processor is slower"])
def test_with_credits_nothing_is_lost(firmware: Firmware, processor: Processor) -> None:
    result = soak(firmware, 60, processor)
    assert result.passed and result.wrong == 0 and result.encoded is not None
    assert result.credits == result.encoded.credits == 2 and result.encoded.sent_again == 0
    counters = result.counters
    assert (counters["rx_lost"], counters["rx_bad_crc"], counters["rx_bad_length"], counters["rx_overrun"]) == (0,) * 4
    assert counters["refused"] == 0 and counters["tx_dropped"] == 0
    # What the ring held at most is what the line delivers during the longest turn: the arithmetic of app_main.c.
    longest_ms = processor.turn_us_max / 1000
    assert longest_ms * LINE_BYTES_PER_MS - 2 <= counters["rx_queue_max"] <= longest_ms * LINE_BYTES_PER_MS + 2
    assert counters["pass_us_max"] == processor.turn_us_max
    if processor is FAST:
        assert 0.95 < result.encoded.frames_per_second / result.line_frames_per_second <= 1.0


def test_two_credits_are_faster_than_one(firmware: Firmware) -> None:
    one, two = soak(firmware, 30, FAST, credits=1).encoded, soak(firmware, 30, FAST).encoded
    assert one is not None and two is not None
    assert two.frames_per_second > 1.2 * one.frames_per_second
    assert two.round_trip_s.max() < 2 * (one.round_trip_s.max() + 0.1)


def test_simulated_time_repeats(firmware: Firmware) -> None:
    first, second = soak(firmware, 20, SLOW), soak(firmware, 20, SLOW)
    assert first.as_dict() == second.as_dict()


def test_more_frames_than_credits_overrun_the_receiver(firmware: Firmware) -> None:
    result = soak(firmware, 20, SLOW, credits=5)
    assert result.counters["rx_lost"] > 100 and not result.passed
    assert result.counters["rx_queue_max"] == result.counters["rx_queue_bytes"]
    assert result.counters["rx_bad_crc"] + result.counters["rx_bad_length"] + result.counters["rx_overrun"] > 0
    # What came through is right all the same: damage is noticed.
    assert result.wrong == 0


def test_a_turn_longer_than_the_ring_overruns_it(firmware: Firmware) -> None:
    with device(firmware, Processor(turn_us=30, turn_us_max=60000)) as (_, link):
        frames = np.resize(vector_frames(firmware).frames, (40, 320))
        with pytest.raises(LinkTimeout):
            encode_frames(link, frames)
        assert device_counters(link)["rx_lost"] > 0


def test_a_port_without_interrupts_loses_nearly_everything(firmware: Firmware) -> None:
    with (
        start_uart_model(firmware, Processor(turn_us=400, turn_us_max=400, polled=True)) as model,
        Link(model, clock=model.clock) as link,
        pytest.raises(LinkError, match="does not answer"),
    ):
        greet(link, firmware)


def test_streaming_while_the_host_talks(firmware: Firmware) -> None:
    """Realtime packets keep coming, without a gap, while requests are answered."""
    with device(firmware, Processor(turn_us=500, turn_us_max=4000)) as (_, link):
        link.stream_start("realtime", 6)
        heard: list[Decoded] = []
        for _ in range(50):
            link.request("COUNTERS_REQUEST", others=heard.append)
            while (message := link.receive(0.7)) is not None:
                heard.append(message)
        packets = [message for message in heard if message.name == "PACKET"]
        assert [m.integer("seq") for m in packets] == list(range(6))
        times = np.array([m.integer("time_ms") for m in packets])
        assert np.all(np.abs(np.diff(times) - 5000) <= 4)
        counters = device_counters(link)
        assert counters["samples_dropped"] == counters["tx_dropped"] == counters["rx_lost"] == 0


def test_lost_frames_and_answers_are_sent_again(firmware: Firmware) -> None:
    class Lossy:
        """Cuts every seventh message to the device short."""

        def __init__(self, model: UartModel) -> None:
            self.model, self.sent, self.name = model, 0, model.name

        def read(self, timeout_s: float) -> bytes:
            return self.model.read(timeout_s)

        def write(self, data: bytes) -> None:
            self.sent += 1
            self.model.write(data[: len(data) // 2] + b"\0" if len(data) > 300 and self.sent % 7 == 0 else data)

        def close(self) -> None:
            self.model.close()

    with start_uart_model(firmware, FAST) as model, Link(Lossy(model), clock=model.clock) as link:
        greet(link, firmware)
        frames = vector_frames(firmware)
        encoded = encode_frames(link, frames.frames)
        assert encoded.sent_again >= 1 and frames.recorded is not None
        assert np.array_equal(encoded.bodies, frames.recorded.packets)


def test_validate_reports_throughput_and_round_trips(firmware: Firmware) -> None:
    report = validate(firmware, ["uart:native-uart"], vector_frames(firmware))
    assert report.passed
    outcome = report.outcomes[-1]
    assert "frames/s with 2 under way, round trip" in outcome.link_text and "us a frame" in outcome.link_text
    found = outcome.as_dict()["link"]
    assert found["frames"] == FRAMES and found["round_trip_ms_p50"] <= found["round_trip_ms_p99"]
    assert found["device_counters"]["rx_lost"] == 0 and outcome.as_dict()["profile"] is None


def test_the_verb(firmware: Firmware, tmp_path: Path) -> None:
    runner = CliRunner()
    base = ["soak", "uart", "--firmware", str(firmware.folder), "--json", str(tmp_path / "soak.json")]
    good = runner.invoke(app, [*base, "--frames", "20", "--turn-us", "30", "--turn-us-max", "1000"])
    assert good.exit_code == 0 and "20 frames, 2 under way: 0 receive overruns, 0 sent again, 0 wrong" in good.output
    assert json.loads((tmp_path / "soak.json").read_text())["passed"] is True
    bad = runner.invoke(app, [*base, "--frames", "20", "--credits", "5", "--turn-us", "2000"])
    assert bad.exit_code == 1 and json.loads((tmp_path / "soak.json").read_text())["device_counters"]["rx_lost"] > 0


def test_old_host_with_this_device(firmware: Firmware) -> None:
    """A host of protocol 1 reads a status and a version in ERROR, whose layout has not changed, and says so itself."""
    with start_uart_model(firmware, FAST) as model:
        content = bytes([0x01, 9, 1])
        model.write(b"\0" + frame(content + crc16(content).to_bytes(2, "little")))
        line = b""
        while not line.endswith(b"\0"):
            line += model.read(0.1)
    message = cobs.decode(line[:-1])
    # ERROR of protocol 1: type, request, status ERR_PROTOCOL, detail = the version that the device speaks, CRC.
    assert message[:5] == bytes([0x8F, 9, 0x100 - 6, 2, 0]) and len(message) == 7


@pytest.mark.parametrize("board", ["microbit", "mps2-an386", "riscv-virt"])
def test_boards_count_what_their_rings_held(board: str, firmware: Firmware) -> None:
    need_target(f"uart:{board}")
    report = validate(firmware, [f"uart:{board}"], vector_frames(firmware, 6))
    assert report.passed
    counters = report.outcomes[-1].as_dict()["link"]["device_counters"]
    assert counters["rx_queue_bytes"] == 512 and 0 < counters["rx_queue_max"] <= 512
    assert counters["rx_lost"] == counters["refused"] == 0
    assert 0 < counters["tx_queue_max"] <= counters["tx_queue_bytes"]
