"""``kit ports``: serial ports, and which of them lead to a device of this kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kit.host.ports import PortFinding


def command(
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Ask every port who is there, or none. Default: those of USB. Opening a port resets some boards.",
            show_default=False,
        ),
    ] = None,
    baud: Annotated[int, typer.Option(min=300, help="Speed to ask at.")] = 115200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List serial ports: vendor and product, lasting names, and the device of this kit that answers there."""
    import json

    from rich.console import Console

    from kit.host.ports import find_ports, survey

    ports = find_ports()
    with Console(stderr=True).status("asking who is there"):
        findings = survey(ports, lambda port: port.usb if probe is None else probe, baud=baud)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
        return
    for finding in findings:
        typer.echo(_text(finding))
    if not findings:
        typer.echo("no serial port here; a pseudo-terminal of kit emulate is not listed, its name is what it printed")


def _text(finding: PortFinding) -> str:
    """A port in one to three lines."""
    port = finding.port
    ids = "" if port.vendor_id is None else f"{port.vendor_id:04x}:{port.product_id or 0:04x}"
    first = "  ".join(part for part in (port.device, ids, port.vendor, port.product) if part)
    answer = finding.text if finding.probed else "not asked"
    return "\n    ".join([first, *port.names, f"{answer}; {finding.fix}" if finding.fix else answer])
