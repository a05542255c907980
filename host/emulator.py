"""Devices without hardware: a board in QEMU, or the firmware as a process of this machine, on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from kit.errors import RunnerError
from kit.host.boards import NATIVE, find_board
from kit.host.firmware import Firmware
from kit.host.toolchain import require_tool

START_SECONDS = 20.0
STOP_SECONDS = 3.0
SETTLE_SECONDS = 0.2
_REDIRECTED = re.compile(r"char device redirected to (\S+)")


class Emulator:
    """A running emulated device. A context manager: leaving it ends the process and closes the pseudo-terminal.

    Attributes:
        name: board.
        port: path of the serial port it serves.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: str, held: list[int]) -> None:
        """Args: descriptors in ``held`` stay open as long as the device runs."""
        self.name = name
        self.port = port
        self._process = process
        self._held = held
        self._output: deque[str] = deque(maxlen=20)
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process, None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """Last lines the process printed."""
        return "\n".join(self._output)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the process to end by itself; its exit code, or None when it still runs."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def unplug(self) -> None:
        """End the process at once and keep nothing open: what a pulled cable looks like to the host."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """End the process, politely first; may be called twice."""
        _end(self._process)
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
        while self._held:
            with suppress(OSError):
                os.close(self._held.pop())

    def follow(self, stream: IO[bytes]) -> None:
        """Keep reading what the process prints, so that it never blocks on a full pipe."""

        def read() -> None:
            with suppress(OSError, ValueError):
                for line in stream:
                    self._output.append(line.decode("utf-8", "replace").rstrip())

        self._reader = threading.Thread(target=read, daemon=True, name=f"{self.name} output")
        self._reader.start()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def qemu_command(board: str, image: Path) -> list[str]:
    """Command line of a board whose UART is a pseudo-terminal.

    Raises:
        RunnerError: unknown or not emulated board.
    """
    return [
        *find_board(board).emulate(image),
        *("-chardev", "pty,id=uart0", "-serial", "chardev:uart0"),
        # Also for images that never use it: their fault handler ends the machine through it.
        *("-semihosting-config", "enable=on,target=native"),
    ]


def start_qemu(board: str, image: Path, options: Sequence[str] = ()) -> Emulator:
    """Boot ``image`` on an emulated board; returns when its serial port exists.

    Args:
        board: its name.
        image: what it runs.
        options: further ones for QEMU.

    Raises:
        ToolchainError: QEMU is not installed.
        RunnerError: unknown or not emulated board, or QEMU does not start.
    """
    command = [*qemu_command(board, image), *options]
    require_tool(command[0])
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        port = _wait_for_port(board, process, process.stdout)
        # While a descriptor stays open on the slave, closing and opening the port again does not stall for a second.
        held = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        emulator = Emulator(board, process, port, [held])
        emulator.follow(process.stdout)
        _settle(emulator)
    except OSError:
        _end(process)
        raise RunnerError(f"QEMU did not start {board}: it ended at once", "see kit doctor") from None
    except BaseException:
        _end(process)
        raise
    return emulator


def _wait_for_port(board: str, process: subprocess.Popen[bytes], stream: IO[bytes]) -> str:
    """Path from QEMU's own announcement; a timer ends a QEMU that never makes one."""
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    seen: list[str] = []
    try:
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip()
            seen.append(line)
            if found := _REDIRECTED.search(line):
                return found.group(1)
    finally:
        timer.cancel()
    process.wait()
    raise RunnerError(f"QEMU did not start {board}: {(seen or ['no output'])[-1]}", "see kit doctor")


def start_native(image: Path) -> Emulator:
    """Run the firmware built for this machine; its standard input and output become a serial port.

    Raises:
        RunnerError: no pseudo-terminals here, or the image does not start.
    """
    try:
        import tty

        master, slave = os.openpty()
    except (ImportError, AttributeError, OSError):
        raise RunnerError("this system has no pseudo-terminals", "use a serial: target") from None
    try:
        # Raw, or the terminal driver would echo and translate what the host writes.
        tty.setraw(slave)
        process = subprocess.Popen([str(image)], stdin=master, stdout=master, stderr=subprocess.PIPE)
    except OSError as error:
        os.close(slave)
        raise RunnerError(f"cannot start {image}: {error.strerror}", "rebuild it") from None
    finally:
        os.close(master)
    assert process.stderr is not None
    emulator = Emulator(NATIVE, process, os.ttyname(slave), [slave])
    emulator.follow(process.stderr)
    return emulator


def start(firmware: Firmware, board: str) -> Emulator:
    """Build the application image for ``board`` (or ``native``) and start it.

    Raises:
        ToolchainError: compiler or QEMU is missing or fails.
        RunnerError: unknown board, or it does not start.
    """
    if board == NATIVE:
        return start_native(firmware.build("app"))
    if find_board(board).qemu_machine is not None:
        require_tool(find_board(board).emulator)
    return start_qemu(board, firmware.build("app", board))


def _settle(emulator: Emulator) -> None:
    """Let QEMU fail: it announces the port before it loads the image.

    Raises:
        RunnerError: it ended.
    """
    code = emulator.wait(SETTLE_SECONDS)
    if code is None:
        return
    emulator.close()
    reason = emulator.output.strip() or f"it ended with code {code}"
    raise RunnerError(f"QEMU did not start {emulator.name}: {reason.splitlines()[-1]}", "see kit doctor")
