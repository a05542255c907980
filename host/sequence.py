"""Packet numbers from the 16-bit ``seq`` of PACKET: lost and duplicate packets are told apart and counted."""

from __future__ import annotations

from dataclasses import dataclass

MODULUS = 1 << 16


@dataclass(slots=True)
class SequenceTracker:
    """Follows one stream, whose first packet has number 0.

    A step of less than half the modulus forward is a gap; anything else is a packet seen before. A gap of 32768 packets
    or more cannot be told from a repetition; at one packet a second it lasts nine hours.
    """

    next_number: int = 0
    received: int = 0
    lost: int = 0
    duplicates: int = 0

    def push(self, seq: int) -> int | None:
        """Number of the packet with this ``seq``, counted without end; None for a duplicate."""
        ahead = (seq - self.next_number) % MODULUS
        if ahead >= MODULUS // 2:
            self.duplicates += 1
            return None
        number = self.next_number + ahead
        self.lost += ahead
        self.received += 1
        self.next_number = number + 1
        return number

    def restart(self) -> None:
        """Follow a new stream from its first packet on; the counts go on."""
        self.next_number = 0

    def finish(self, sent: int) -> int:
        """Count as lost what is missing at the end of a stream of ``sent`` packets; returns how many."""
        missing = max(0, sent - self.next_number)
        self.lost += missing
        self.next_number += missing
        return missing
