"""Decoded samples as a Lab Streaming Layer stream, which recorders on the same network find by themselves."""

from __future__ import annotations

from typing import Any

from kit.errors import ToolchainError
from kit.host.capture import CaptureState
from kit.host.capture_file import GapRecord
from kit.host.live_feed import LivePacket

STREAM_TYPE = "biosignal"


class LslOutput:
    """One float channel at the device's sample rate; a chunk per packet, stamped with the arrival of its last sample.

    The source id is made of build and port, so that a recorder finds the stream again when a capture is restarted.
    """

    needs_signal = True

    def __init__(self) -> None:
        """Load the library.

        Raises:
            ToolchainError: it is not installed.
        """
        try:
            import pylsl
        except (ImportError, OSError, RuntimeError):
            # It raises RuntimeError where its package is there and the library behind it is not.
            raise ToolchainError(
                "Lab Streaming Layer is not installed", 'pip install "rvq-firmware-kit[lsl]", or leave --lsl out'
            ) from None
        self._pylsl = pylsl
        self._outlet: Any = None

    def begin(self, state: CaptureState) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        header, hello = state.header, state.hello
        name = f"kit {hello.target}".strip()
        info = self._pylsl.StreamInfo(
            name, STREAM_TYPE, 1, hello.sample_rate_mhz / 1000, "float32", f"kit-{header.build_hash}-{header.port}"
        )
        channel = info.desc().append_child("channels").append_child("channel")
        channel.append_child_value("label", header.label or "signal")
        channel.append_child_value("unit", "ADC codes" if header.layout.side_information else "frame scales")
        self._outlet = self._pylsl.StreamOutlet(info)

    def packet(self, packet: LivePacket) -> None:
        """See :class:`kit.host.live_feed.LiveOutput`."""
        assert packet.samples is not None
        self._outlet.push_chunk([[value] for value in packet.samples.tolist()], self._pylsl.local_clock())

    def gap(self, gap: GapRecord) -> None:
        """Nothing is sent for a gap: recorders see it in the time stamps."""

    def end(self) -> None:
        """Take the stream off the network."""
        self._outlet = None
