"""Runs the stages of a build: each reads earlier artifacts from disk, and is skipped when it is current."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

import kit
from kit.build.frames import reporting_config
from kit.build.manifest import Manifest, template_hashes
from kit.config import Config, dump_config
from kit.errors import ConfigError
from kit.files import atomic_write_text, sha256_bytes

if TYPE_CHECKING:
    from kit.data import Dataset
    from kit.graph.codebook import IntegerCodebook
    from kit.graph.ir import Encoder
    from kit.reference.device_path import DevicePath


@dataclass(eq=False)
class Context:
    """What every stage may use."""

    config: Config
    folder: Path
    """Run folder (``runs/NAME``)."""
    data_root: Path | None
    """Root of recordings, or None to use those the kit can find without one."""
    train: bool
    """Train anew, instead of taking the trained weights of the zoo."""
    targets: tuple[str, ...]
    """Targets the validation runs on."""
    console: Console
    manifest: Manifest
    tflm_roots: tuple[tuple[str, Path], ...] = ()
    """TFLM_ROOT by board, see :func:`kit.host.engines.parse_tflm_roots`."""

    @cached_property
    def dataset(self) -> Dataset:
        """The configured recordings; loaded once, when a stage first asks."""
        from kit.data import build_dataset

        cache = None if self.config.data.mode == "memory" else self.folder / "cache"
        return build_dataset(self.config, self.data_root, cache)

    @cached_property
    def reporting(self) -> Dataset:
        """The recordings that vectors and figures come from: the configured ones where they can be had."""
        from kit.data import build_dataset

        config = reporting_config(self.config, self.data_root)
        return self.dataset if config is self.config else build_dataset(config)

    def device_path(self, *, packets: bool = True) -> DevicePath:
        """The integer device path of the artifacts on disk; through the golden where only that can run the encoder.

        Args:
            packets: False does without the coding model, which may not be there yet: packets are then of fixed width.
        """
        from kit.graph.codebook import IntegerCodebook
        from kit.graph.store import load

        codebook = IntegerCodebook.load(self.folder / "codebook.npz")
        return self.path_of(load(self.folder), codebook, packets=packets)

    def path_of(self, encoder: Encoder, codebook: IntegerCodebook, *, packets: bool = True) -> DevicePath:
        """:meth:`device_path` of an encoder, which is that of encoder.tflite, and a codebook."""
        from functools import partial

        from kit.golden import golden_latents
        from kit.reference.device_path import DevicePath
        from kit.wire.coding import load_coding

        config = self.config
        if not packets:
            config = config.model_copy(update={"packet": config.packet.model_copy(update={"coding": "fixed"})})
        coding = load_coding(config, self.folder)
        run = None
        if encoder.graph.opaque:
            run = partial(golden_latents, (self.folder / "encoder.tflite").read_bytes())
        return DevicePath(encoder, codebook, config, run, coding)


@dataclass(frozen=True)
class Stage:
    """One step from artifacts to artifacts.

    Args:
        inputs: artifacts read, relative to the run folder.
        outputs: artifacts written.
        sections: configuration sections the result depends on.
        extra: further facts the result depends on (hash of the recordings, of the templates ...).
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sections: tuple[str, ...]
    run: Callable[[Context], None]
    extra: Callable[[Context], str] = lambda context: ""


def stage_key(stage: Stage, context: Context, inputs: dict[str, str]) -> str:
    """SHA-256 over everything the stage's result depends on."""
    dump = context.config.model_dump(mode="json")
    facts = {
        "kit": kit.__version__,
        "stage": stage.name,
        "config": {section: dump[section] for section in stage.sections},
        "inputs": inputs,
        "templates": template_hashes() if "firmware" in stage.sections else {},
        "extra": stage.extra(context),
    }
    return sha256_bytes(json.dumps(facts, sort_keys=True).encode())


def run_stages(stages: list[Stage], context: Context, *, only: str | None = None, fresh: bool = False) -> None:
    """Run the stages in order, skipping those whose result is current.

    Args:
        only: run just this stage (its inputs must be on disk, unchanged).
        fresh: run every stage even when its result is current.

    Raises:
        ConfigError: ``only`` names no stage of this build.
        ArtifactError: an input is missing or was changed since it was recorded.
    """
    names = [stage.name for stage in stages]
    if only is not None and only not in names:
        raise ConfigError(f"no stage {only!r} in this build", f"stages: {', '.join(names)}")
    atomic_write_text(context.folder / "config.yaml", dump_config(context.config))
    for stage in stages:
        if only not in (None, stage.name):
            continue
        inputs = context.manifest.check(stage.inputs, stage.name)
        key = stage_key(stage, context, inputs)
        if not fresh and only is None and context.manifest.is_current(stage.name, key, stage.outputs):
            context.console.print(f"[dim]{stage.title}: unchanged[/dim]")
            continue
        context.console.print(f"[bold]{stage.title}[/bold]")
        begun = time.monotonic()
        stage.run(context)
        context.manifest.record(stage.name, key, stage.outputs)
        context.console.print(f"[dim]  {time.monotonic() - begun:.1f} s[/dim]")
