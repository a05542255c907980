"""What ``kit bench`` does in each of its modes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from kit.build.frames import ChosenFrames
    from kit.config import Config
    from kit.host.bench import BenchReport
    from kit.host.bench_scaling import Size
    from kit.host.firmware import Firmware

TARGETS = "all, qemu:BOARD, uart:BOARD, serial:PORT"


@dataclass(frozen=True, slots=True)
class BenchEngine:
    """What ``--engine`` and ``--tflm-root`` say: the engine (empty: that of the build), and TFLM_ROOT by board."""

    engine: str = ""
    roots: tuple[tuple[str, Path], ...] = ()

    @classmethod
    def parse(cls, engine: str, roots: Iterable[str]) -> BenchEngine:
        """Both options.

        Raises:
            RunnerError: an engine that is no part of a firmware, or a bad TFLM_ROOT.
        """
        from kit.errors import RunnerError
        from kit.host.engines import COMPILED, parse_tflm_roots

        if engine and engine not in COMPILED:
            raise RunnerError(f"nothing counts the instructions of engine {engine}", f"engines: {', '.join(COMPILED)}")
        return cls(engine, parse_tflm_roots(roots))

    def of(self, folder: Path) -> Firmware:
        """A firmware folder with this engine."""
        from kit.host.firmware import Firmware

        return Firmware(folder, self.engine, self.roots)


def parse_bench_targets(text: str) -> tuple[str, ...]:
    """Targets of ``--target``, where ``all`` is every emulated board.

    Raises:
        RunnerError: one that nothing can be counted on, or unknown.
    """
    from kit.errors import RunnerError
    from kit.host.boards import emulated_boards
    from kit.host.targets import parse_targets

    names: dict[str, None] = {}
    for part in text.split(","):
        if part.strip() == "all":
            names.update(dict.fromkeys(f"qemu:{board}" for board in emulated_boards()))
        elif part.strip():
            names.update(dict.fromkeys(parse_targets(part)))
    for name in names:
        if name.partition(":")[0] not in ("qemu", "uart", "serial") or name == "uart:native":
            raise RunnerError(f"nothing counts the instructions of target {name}", f"targets: {TARGETS}; or --native")
    if not names:
        raise RunnerError("no target given", f"targets: {TARGETS}")
    return tuple(names)


def choose_frames(firmware: Firmware, count: int, data: Path | None) -> ChosenFrames:
    """Test frames: of the recordings where a data root is given (also by KIT_DATA), else those of vectors.npz."""
    from kit.build.frames import ChosenFrames, evenly_spaced, needs_root, vector_frames
    from kit.data.sources import find_root
    from kit.files import read_npz

    config = firmware.config
    root = find_root(config, data)
    if root.path is None or not needs_root(config):
        vectors = read_npz(firmware.artifacts / "vectors.npz")
        return ChosenFrames(evenly_spaced(vectors["frames"], count), str(vectors["source"]))
    from kit.data.dataset import build_dataset

    root.require(config.name)
    return vector_frames(build_dataset(config, root.path), count)


def measure_targets(firmware: Firmware, targets: Sequence[str], frames: int, data: Path | None) -> list[BenchReport]:
    """One report per target, with progress on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from kit.host.bench import bench_board
    from kit.host.bench_link import bench_link

    chosen = choose_frames(firmware, frames, data) if any(t.startswith("qemu:") for t in targets) else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    reports = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        for target in targets:
            task = bar.add_task(target, total=None)

            def progress(done: int, total: int, task: object = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            kind, _, rest = target.partition(":")
            if kind == "qemu":
                assert chosen is not None
                reports.append(bench_board(firmware, rest, chosen.frames, chosen.label, progress))
            else:
                reports.append(bench_link(firmware, target))
            bar.remove_task(task)
    return reports


def console() -> Console:
    """Standard output; as wide as the tables want where it is no terminal."""
    from rich.console import Console

    from kit.host.bench_table import WIDE

    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def bench_targets(
    firmware: Firmware, target: str, frames: int, data: Path | None, json_path: Path | None, out: Path | None
) -> None:
    """Measure, print, write."""
    show_reports(measure_targets(firmware, parse_bench_targets(target), frames, data), json_path, out)


def show_reports(reports: Sequence[BenchReport], json_path: Path | None, out: Path | None) -> None:
    """Print, and write what was asked for."""
    from kit.host.bench import save_reports
    from kit.host.bench_table import print_reports

    print_reports(reports, console())
    if json_path is not None:
        save_reports(json_path, reports)
    if out is not None:
        write_folder(out, reports)


def bench_config(path: Path, target: str, frames: int, json_path: Path | None, out: Path | None) -> None:
    """What the sizes of a configuration cost: random weights, generated frames.

    The encoder costs what a trained one does; the search stops early, and how early depends on its codebook.
    """
    import tempfile

    import numpy as np

    from kit.build.configs import find_config
    from kit.config import load_config
    from kit.host.random_firmware import random_firmware

    config = load_config(find_config(path))
    with tempfile.TemporaryDirectory(prefix="kit-bench-") as name:
        chosen = generated_frames(config, max(frames, config.firmware.embedded_frames))
        rng, source = np.random.default_rng(1), "generated PPG, random weights"
        firmware = random_firmware(Path(name), config, rng, frames=chosen, source=source)
        reports = measure_targets(firmware, parse_bench_targets(target), frames, None)
    show_reports(reports, json_path, out)


def write_folder(out: Path, reports: Sequence[BenchReport]) -> None:
    """``bench.txt``, ``bench.json`` and ``bench.png`` in a folder."""
    import io

    from rich.console import Console

    from kit.evaluate.bench_plots import bench_figure
    from kit.files import atomic_write_bytes, atomic_write_text
    from kit.host.bench import save_reports
    from kit.host.bench_table import WIDE, print_reports

    text = io.StringIO()
    print_reports(reports, Console(file=text, width=WIDE))
    atomic_write_text(out / "bench.txt", text.getvalue())
    save_reports(out / "bench.json", reports)
    atomic_write_bytes(out / "bench.png", bench_figure(reports))
    Console(stderr=True).print(f"written: {out}/bench.txt, bench.json, bench.png", highlight=False)


def compared_side(
    name: str, run: Path | None, firmware: Path | None, chosen: BenchEngine, target: str, frames: int, data: Path | None
) -> list[BenchReport]:
    """Reports of one side of ``--compare``: a saved JSON, a run folder, or an engine or a target of ``--run``.

    Raises:
        ArtifactError: none of these.
    """
    from kit.errors import ArtifactError, RunnerError
    from kit.host.bench import load_reports
    from kit.host.engines import COMPILED
    from kit.host.firmware import firmware_folder

    path = Path(name)
    if path.suffix == ".json":
        return load_reports(path)
    if path.is_dir():
        folder = firmware_folder(path, None) if (path / "firmware").is_dir() else firmware_folder(None, path)
        return measure_targets(chosen.of(folder), parse_bench_targets(target), frames, data)
    if name in COMPILED:
        device = replace(chosen, engine=name).of(firmware_folder(run, firmware))
        return measure_targets(device, parse_bench_targets(target), frames, data)
    try:
        targets = parse_bench_targets(name)
    except RunnerError:
        raise ArtifactError(
            f"--compare: {name} is no JSON report, no run folder, no engine and no target",
            f"engines: {', '.join(COMPILED)}; targets: {TARGETS}",
        ) from None
    return measure_targets(chosen.of(firmware_folder(run, firmware)), targets, frames, data)


def bench_compare(
    sides: tuple[str, str], run: Path | None, firmware: Path | None, chosen: BenchEngine, target: str, frames: int,
    data: Path | None, json_path: Path | None, out: Path | None,
) -> None:  # fmt: skip
    """Differences of two runs, engines, targets or saved reports."""
    from kit.files import write_json
    from kit.host.bench_compare import compare, compare_table, pair_reports

    first, second = (compared_side(side, run, firmware, chosen, target, frames, data) for side in sides)
    pairs = pair_reports(first, second)
    comparisons = [compare(left, right) for left, right in pairs]
    shown = console()
    for comparison in comparisons:
        shown.print(compare_table(comparison))
        for note in comparison.notes:
            shown.print(note, highlight=False, markup=False, soft_wrap=True)
    if json_path is not None:
        plain = [comparison.as_dict() for comparison in comparisons]
        write_json(json_path, {"format": 1, "kind": "bench comparison", "comparisons": plain})
    if out is not None:
        write_folder(out, [report for pair in pairs for report in pair])


def bench_scaling(target: str, json_path: Path | None, out: Path | None) -> None:
    """Cost over frame length and over width, of encoders with random weights."""
    from kit.errors import RunnerError
    from kit.evaluate.bench_plots import scaling_figure
    from kit.files import atomic_write_bytes, atomic_write_text, write_json
    from kit.host.bench_scaling import Sweep, scaling_tables

    targets = parse_bench_targets("qemu:mps2-an386" if target == "all" else target)
    if any(not name.startswith("qemu:") for name in targets):
        raise RunnerError("--scaling compiles a firmware per size", "give an emulated board: --target qemu:BOARD")
    sweeps = [Sweep(name, measure_sizes(name)) for name in targets]
    shown = console()
    for sweep in sweeps:
        for table in scaling_tables(sweep):
            shown.print(table)
    plain = {"format": 1, "kind": "bench scaling", "sweeps": [sweep.as_dict() for sweep in sweeps]}
    if json_path is not None:
        write_json(json_path, plain)
    if out is not None:
        import io

        from rich.console import Console

        from kit.host.bench_table import WIDE

        text = io.StringIO()
        for sweep in sweeps:
            for table in scaling_tables(sweep):
                Console(file=text, width=WIDE).print(table)
        atomic_write_text(out / "scaling.txt", text.getvalue())
        write_json(out / "scaling.json", plain)
        atomic_write_bytes(out / "scaling.png", scaling_figure(sweeps))


def measure_sizes(target: str) -> tuple[Size, ...]:
    """Build and measure every size on one emulated board, with progress on standard error."""
    import tempfile

    import numpy as np
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from kit.build.configs import find_config
    from kit.config import load_config
    from kit.host.bench import bench_board
    from kit.host.bench_scaling import SCALING_FRAMES, scaling_configs, size_of
    from kit.host.random_firmware import random_firmware

    base = load_config(find_config(Path("bench_seed")))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    sizes = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        configs = scaling_configs(base)
        for config in bar.track(configs, description=f"{target}: sizes"):
            with tempfile.TemporaryDirectory(prefix="kit-scaling-") as name:
                frames = generated_frames(config, SCALING_FRAMES)
                firmware = random_firmware(Path(name), config, np.random.default_rng(1), frames=frames)
                report = bench_board(firmware, target.partition(":")[2], frames, "generated PPG, random weights")
                sizes.append(size_of(firmware, report))
    return tuple(sizes)


def generated_frames(config: Config, count: int) -> NDArray[Any]:
    """Frames of a configuration's length from the generator of PPG: int16 or int32 [count, T]."""
    from kit.data.recording import saturate
    from kit.data.synthetic import generate_ppg

    signal = config.signal
    seconds = -(-count * signal.frame_samples // signal.sample_rate_hz)
    codes = generate_ppg(
        seed=1, subject=0, seconds=seconds, sample_rate_hz=signal.sample_rate_hz, sample_bits=signal.sample_bits
    )
    samples = saturate(codes, signal.container_bits)
    return samples[: count * signal.frame_samples].reshape(count, -1)


def bench_native(firmware: Firmware, frames: int, data: Path | None, json_path: Path | None, out: Path | None) -> None:
    """Frames per second of this machine beside TFLite with XNNPACK on one thread."""
    from rich.console import Console

    from kit.files import atomic_write_text, write_json
    from kit.host.native_speed import native_speed

    chosen = choose_frames(firmware, frames, data)
    with Console(stderr=True).status("alternating rounds of both runtimes"):
        found = native_speed(firmware, chosen.frames)
    lines = [f"{firmware.config.name} on this machine, {len(chosen.frames)} frames of {chosen.label}", *found.lines()]
    for line in lines:
        typer.echo(line)
    plain = {"format": 1, "kind": "bench native", "name": firmware.config.name, **found.to_json()}
    if json_path is not None:
        write_json(json_path, plain)
    if out is not None:
        atomic_write_text(out / "native.txt", "\n".join(lines) + "\n")
        write_json(out / "native.json", plain)
