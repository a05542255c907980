"""A small coverage-guided fuzzer in pure Python: inputs that reach new edges of the kit's code are kept and mutated on.

``python -m tests.fuzz.guided TARGET SECONDS [SEED]`` adds what it keeps to the corpus and prints what it finds.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.python_targets import TARGETS, TOKENS, Target, seeds

CORPUS = Path(__file__).resolve().parent / "corpus"
INPUT_BYTES_MAX = 2048
_ROOT = Path(__file__).resolve().parents[2]
_TRACED = (str(_ROOT / "kit" / "wire"), str(_ROOT / "host"), str(_ROOT / "kit" / "host"))

Edge = tuple[int, int, int]


@dataclass
class Fuzzer:
    """State of one run.

    Attributes:
        corpus: inputs kept, in order.
        edges: pairs of lines seen one behind the other, by code object.
        executions: inputs tried.
        findings: input and what escaped, at most one per kind of exception and place.
    """

    target: Target
    random: random.Random
    corpus: list[bytes] = field(default_factory=list)
    edges: set[Edge] = field(default_factory=set)
    executions: int = 0
    findings: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def execute(self, data: bytes) -> bool:
        """Try one input; whether it reached something new."""
        self.executions += 1
        seen: set[Edge] = set()

        def local(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line":
                code = id(frame.f_code)
                seen.add((code, last.get(code, 0), frame.f_lineno))
                last[code] = frame.f_lineno
            return local

        def begin(frame: FrameType, event: str, argument: Any) -> Any:
            return local if frame.f_code.co_filename.startswith(_TRACED) else None

        last: dict[int, int] = {}
        sys.settrace(begin)
        try:
            self.target(data)
        except Exception as error:
            sys.settrace(None)
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
            self.findings.setdefault(f"{type(error).__name__} at {where}", (data, repr(error)[:200]))
        finally:
            sys.settrace(None)
        new = not seen <= self.edges
        self.edges |= seen
        return new

    def add(self, data: bytes) -> None:
        """Try an input of a corpus."""
        if self.execute(data) or not self.corpus:
            self.corpus.append(data)

    def run(self, seconds: float) -> list[bytes]:
        """Mutate for so long; the inputs kept."""
        kept = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            data = self.mutate(self.random.choice(self.corpus))
            if self.execute(data):
                self.corpus.append(data)
                kept.append(data)
        return kept

    def mutate(self, data: bytes) -> bytes:
        """One to four changes of the usual kinds."""
        changed = bytearray(data)
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.randrange(7)
            at = self.random.randrange(len(changed) + 1)
            if kind == 0 and changed:
                changed[at % len(changed)] ^= 1 << self.random.randrange(8)
            elif kind == 1 and changed:
                changed[at % len(changed)] = self.random.randrange(256)
            elif kind == 2:
                changed[at:at] = self.random.randbytes(self.random.randint(1, 8))
            elif kind == 3:
                del changed[at : at + self.random.randint(1, 16)]
            elif kind == 4:
                changed[at:at] = self.random.choice(TOKENS)
            elif kind == 5:
                end = at + self.random.randint(1, 8)
                changed[at:end] = self.random.choice(TOKENS)
            else:
                other = self.random.choice(self.corpus)
                start = self.random.randrange(len(other) + 1)
                changed[at:at] = other[start : start + self.random.randint(1, 64)]
        return bytes(changed[:INPUT_BYTES_MAX])


def stored(name: str) -> list[bytes]:
    """The corpus of a target, in a fixed order."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def start(name: str, seed: int) -> Fuzzer:
    """A fuzzer that has been through its seeds and its corpus."""
    fuzzer = Fuzzer(TARGETS[name], random.Random(f"{name}/{seed}"))
    for data in [*seeds(name), b"", *stored(name)]:
        fuzzer.add(data)
    return fuzzer


def main() -> None:
    """Fuzz one target, or all, and keep what reaches new code."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    for each in TARGETS if name == "all" else [name]:
        fuzzer = start(each, seed)
        kept = fuzzer.run(seconds)
        (CORPUS / each).mkdir(parents=True, exist_ok=True)
        for data in kept:
            (CORPUS / each / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        counts = f"{fuzzer.executions} executions, {len(fuzzer.edges)} edges, {len(kept)} inputs kept"
        print(f"{each}: {counts}, seed {seed}")
        for what, (data, text) in fuzzer.findings.items():
            print(f"  FOUND {what}: {text}\n    {data!r}")


if __name__ == "__main__":
    main()
