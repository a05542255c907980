"""``kit build-firmware``: one YAML file in, a validated firmware out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    config: Annotated[Path, typer.Option(help="Configuration: a YAML file, or the name of one of the kit's own.")],
    data: Annotated[Path | None, typer.Option(help="Root folder of recordings (default: KIT_DATA).")] = None,
    train: Annotated[bool, typer.Option("--train", help="Train anew instead of taking the trained weights.")] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/NAME).")] = None,
    engine: Annotated[
        str | None, typer.Option(help="What runs the encoder: aot or tflm (default: firmware.engine).")
    ] = None,
    tflm_root: Annotated[
        list[str] | None,
        typer.Option(
            help="TensorFlow Lite Micro, to measure its arena with and to validate on: DIR, or BOARD=DIR for one "
            "board; may be repeated (default: TFLM_ROOT of the environment)."
        ),
    ] = None,
    target: Annotated[str, typer.Option(help="Validate on these, comma-separated: native, qemu:BOARD.")] = "native",
    stage: Annotated[str | None, typer.Option(help="Run one stage alone, from the artifacts on disk.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every stage, also those that are current.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the build as a library into this folder; needs --layout.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="For whom: cmake, arduino, platformio, zephyr, esp-idf, cmsis-pack.")
    ] = None,
) -> None:
    """Train or take trained weights, quantize, export, render, compile, validate, report.

    Stages whose inputs did not change are skipped; an interrupted build goes on where it stopped.
    """
    import time

    from rich.console import Console

    from kit.build.configs import find_config
    from kit.build.export import check_export, export_run
    from kit.build.manifest import Manifest
    from kit.build.pipeline import Context, run_stages
    from kit.build.stages import check_inputs, publish_generated, stage_list
    from kit.build.summary import print_ratios, print_summary
    from kit.config import load_config, with_engine
    from kit.data.sources import find_root
    from kit.host.engines import parse_tflm_roots

    begun = time.monotonic()
    exported = check_export(export, layout, stage)
    checked = with_engine(load_config(find_config(config)), engine)
    folder = out or Path("runs") / (checked.name if checked.firmware.engine == "aot" else f"{checked.name}-tflm")
    console = Console(soft_wrap=True)
    context = Context(
        config=checked,
        folder=folder,
        data_root=find_root(checked, data).path,
        train=train,
        targets=tuple(part.strip() for part in target.split(",") if part.strip()),
        console=console,
        manifest=Manifest.load(folder),
        tflm_roots=parse_tflm_roots(tflm_root or []),
    )
    check_inputs(context)
    print_ratios(checked, console)
    try:
        run_stages(stage_list(context), context, only=stage, fresh=fresh)
    except KeyboardInterrupt:
        typer.echo("kit: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    if stage is None:
        publish_generated(folder)
        print_summary(context, time.monotonic() - begun)
    if exported is not None:
        count = export_run(context, exported)
        typer.echo(f"exported {count} files, {exported.layout.title}: {exported.folder}")
