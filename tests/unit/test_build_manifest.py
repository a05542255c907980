"""Stages are skipped only when nothing they depend on changed, and changed artifacts are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from kit.build.manifest import Manifest
from kit.build.pipeline import Context, Stage, run_stages
from kit.config import Config, parse_config
from kit.errors import ArtifactError, ConfigError


class Counted:
    """Two stages, a -> b, that count how often they ran."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.ran: list[str] = []
        self.text = "a"
        self.context = Context(config, folder, None, False, ("native",), Console(quiet=True), Manifest.load(folder))
        self.stages = [
            Stage("first", "First", (), ("a.txt",), ("signal",), self.first),
            Stage("second", "Second", ("a.txt",), ("b.txt", "tree"), ("packet",), self.second),
        ]

    def first(self, context: Context) -> None:
        self.ran.append("first")
        (context.folder / "a.txt").write_text(self.text)

    def second(self, context: Context) -> None:
        self.ran.append("second")
        (context.folder / "b.txt").write_text((context.folder / "a.txt").read_text() * 2)
        (context.folder / "tree").mkdir(exist_ok=True)
        (context.folder / "tree" / "c.txt").write_text("c")

    def other(self, context: Context) -> None:
        self.ran.append("other")
        (context.folder / "a.txt").write_text("other")

    def run(self, **options: object) -> list[str]:
        self.ran.clear()
        self.context.manifest = Manifest.load(self.context.folder)
        run_stages(self.stages, self.context, **options)  # type: ignore[arg-type]
        return list(self.ran)


@pytest.fixture
def build(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "run", parse_config({"name": "x"}))


def test_second_run_does_nothing(build: Counted) -> None:
    assert build.run() == ["first", "second"]
    assert build.run() == []
    assert build.run(fresh=True) == ["first", "second"]


def test_changed_section_reruns_only_what_depends_on_it(build: Counted) -> None:
    build.run()
    build.context.config = parse_config({"name": "x", "packet": {"side_information": False}})
    assert build.run() == ["second"]
    build.context.config = parse_config({"name": "x", "signal": {"sample_rate_hz": 32}})
    assert build.run() == ["first", "second"]


def test_same_input_bytes_do_not_rerun_the_next_stage(build: Counted) -> None:
    build.run()
    assert build.run(only="first") == ["first"]
    assert build.run() == []
    build.text = "other"
    assert build.run(only="first") == ["first"]
    assert build.run() == ["second"]


def test_lost_output_is_made_again(build: Counted) -> None:
    build.run()
    (build.context.folder / "tree" / "c.txt").unlink()
    assert build.run() == ["second"]


def test_edited_input_is_named(build: Counted) -> None:
    build.run()
    (build.context.folder / "a.txt").write_text("edited")
    with pytest.raises(ArtifactError, match=r"stage second: .*a\.txt is not what was recorded"):
        build.run(only="second")


def test_missing_input_is_named(build: Counted) -> None:
    with pytest.raises(ArtifactError, match=r"stage second needs .*a\.txt, which is missing"):
        build.run(only="second")


def test_unknown_stage_lists_the_known(build: Counted) -> None:
    with pytest.raises(ConfigError, match=r"no stage 'third'.*first, second"):
        build.run(only="third")


def test_stage_that_writes_nothing_fails(build: Counted) -> None:
    build.stages[0] = Stage("first", "First", (), ("a.txt",), (), lambda context: None)
    with pytest.raises(ArtifactError, match=r"stage first did not write a\.txt"):
        build.run()


def test_manifest_of_another_format_is_refused(build: Counted) -> None:
    build.context.folder.mkdir(parents=True)
    (build.context.folder / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(ArtifactError, match="not a manifest of format 1"):
        build.run()


def test_file_written_by_another_stage_since_is_made_again(build: Counted) -> None:
    build.run()
    build.stages.append(Stage("other", "Other", (), ("a.txt",), (), build.other))
    assert build.run(only="other") == ["other"]
    build.stages.pop()
    assert build.run() == ["first"]
