"""``kit bench``: what a frame costs on each target, stage by stage, and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.tflm_option import TflmRoots


def command(
    run: Annotated[Path | None, typer.Option(help="Run folder (default: the firmware of this checkout).")] = None,
    firmware: Annotated[Path | None, typer.Option(help="Firmware folder, instead of --run.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration, with random weights: what its sizes cost, without a build.")
    ] = None,
    target: Annotated[
        str, typer.Option(help="Comma-separated: all (every emulated board), qemu:BOARD, uart:BOARD, serial:PORT.")
    ] = "all",
    engine: Annotated[str, typer.Option(help="aot or tflm (default: what the build was rendered for).")] = "",
    tflm_root: TflmRoots = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames to measure, spread over those there are.")] = 16,
    data: Annotated[Path | None, typer.Option(help="Test frames of this data root (default: KIT_DATA).")] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two of: run folder, JSON report, target, engine; differences per stage."),
    ] = None,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Cost over frame length and over width, random weights.")
    ] = False,
    native: Annotated[
        bool, typer.Option("--native", help="This machine: frames per second beside TFLite XNNPACK.")
    ] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for table, JSON and picture.")] = None,
) -> None:
    """Count instructions (in QEMU) or cycles (on a board) per frame by stage; flash, RAM and worst-case stack.

    Estimated milliseconds assume a clock and cycles per instruction, which stand beside them.
    """
    from kit.cli import bench_modes
    from kit.errors import ConfigError
    from kit.host.firmware import Firmware, firmware_folder

    if config is not None and (run is not None or firmware is not None or compare is not None or scaling or native):
        raise ConfigError("--config benches random weights of that configuration", "give it without --run and modes")
    if sum((compare is not None, scaling, native)) > 1:
        raise ConfigError("--compare, --scaling and --native are three benchmarks", "give one of them")
    if (engine or tflm_root) and (config is not None or scaling or native):
        raise ConfigError("--engine and --tflm-root are for a build on targets", "give them with --run or --compare")
    chosen = bench_modes.BenchEngine.parse(engine, tflm_root or [])
    if compare is not None:
        bench_modes.bench_compare(compare, run, firmware, chosen, target, frames, data, json_path, out)
    elif scaling:
        bench_modes.bench_scaling(target, json_path, out)
    elif native:
        bench_modes.bench_native(Firmware(firmware_folder(run, firmware)), frames, data, json_path, out)
    elif config is not None:
        bench_modes.bench_config(config, target, frames, json_path, out)
    else:
        device = chosen.of(firmware_folder(run, firmware))
        bench_modes.bench_targets(device, target, frames, data, json_path, out)
