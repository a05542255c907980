"""``make fuzz``: a long fuzz run of the device's receiver, and the branch coverage of what it found.

    python -m tests.fuzz.run --executions 10000000

Per target: starts from the kept corpus and the valid messages, runs so many executions under the address and the
undefined-behaviour sanitizer, merges what reached new code into ``tests/fuzz/corpus`` and prints what that covers.
Exit code 1 when an input broke a target; it is then in ``tests/fuzz/corpus`` as ``crash-...``, so that every later test
run has it, and must be committed with the fix.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.c_support import Rendered
from tests.fuzz.targets import (
    CORPUS,
    COVERAGE,
    FOLDER,
    FUZZER,
    LENGTH_MAX,
    NAMES,
    build_command,
    coverage,
    render_target,
    seeds,
)  # fmt: skip


def _build(command: list[str]) -> None:
    subprocess.run(command, check=True)


def fuzz(name: str, rendered: Rendered, scratch: Path, executions: int, seed: int) -> bool:
    """One target; whether it held."""
    program, grown, kept = scratch / f"fuzz_{name}", scratch / f"{name}.grown", CORPUS / name
    _build(build_command(name, rendered, program, FUZZER))
    grown.mkdir()
    kept.mkdir(parents=True, exist_ok=True)
    for key, data in seeds(name, rendered).items():
        (grown / key).write_bytes(data)
    options = [f"-max_len={LENGTH_MAX[name]}", "-timeout=20", f"-seed={seed}", "-print_final_stats=1"]
    command = [str(program), f"-runs={executions}", *options, f"-artifact_prefix={kept}/", str(grown), str(kept)]
    begun = time.monotonic()
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - begun
    units = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    ran = int(units.group(1)) if units else 0
    print(
        f"{name}: {ran:,} executions in {seconds:.0f} s, {'no finding' if done.returncode == 0 else 'BROKEN'}",
        flush=True,
    )
    if done.returncode != 0:
        print(done.stderr[-4000:], file=sys.stderr)
        return False
    merged = scratch / f"{name}.merged"
    merged.mkdir()
    subprocess.run(
        [str(program), "-merge=1", "-use_counters=0", *options[:2], str(merged), str(kept), str(grown)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    # What others reach as well goes; what once broke the target stays.
    fresh = {path.name for path in merged.iterdir()}
    for path in kept.iterdir():
        if path.name not in fresh and not path.name.startswith(("crash-", "timeout-", "oom-", "leak-")):
            path.unlink()
    shutil.copytree(merged, kept, dirs_exist_ok=True)
    return True


def report_coverage(name: str, rendered: Rendered, scratch: Path) -> None:
    """Print what the kept corpus of a target reaches."""
    program = scratch / f"replay_{name}"
    _build(build_command(name, rendered, program, COVERAGE, [FOLDER / "replay_main.c"]))
    inputs = sum(1 for _ in (CORPUS / name).iterdir())
    print(f"{name}: coverage of the {inputs} inputs of its corpus")
    for found in coverage(program, CORPUS / name, scratch):
        print(f"  {found.text}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__.splitlines()[0])
    parser.add_argument("--executions", type=int, default=10_000_000, help="per target (default: %(default)s)")
    parser.add_argument("--target", choices=NAMES, help="only this one")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer")
    parser.add_argument("--coverage-only", action="store_true", help="run nothing, print what the corpus covers")
    chosen = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        rendered = render_target(scratch / "generated")
        for name in (chosen.target,) if chosen.target else NAMES:
            if not chosen.coverage_only:
                held = fuzz(name, rendered, scratch, chosen.executions, chosen.seed) and held
            if held:
                report_coverage(name, rendered, scratch)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
