"""Exports: what is in them, what they refuse to overwrite, and manifests as each build system asks for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from configparser import ConfigParser
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml

from kit.build.export import LAYOUTS, MARKER, check_export, check_folder, export_files, write_export
from kit.build.export.notice import attribution_of_card, attribution_of_dataset, notice_paragraphs
from kit.build.export.sources import PROBE_ONLY, collect_sources
from kit.errors import ArtifactError, ConfigError
from tests.export_support import ENGINES, Exported, RandomBuild, export, random_build
from tests.support import ROOT, need, need_package

TFLM_NAMES = {
    "cmake": "TFLM_ROOT",
    "arduino": "depends=Chirale_TensorFLowLite",
    "platformio": "Chirale_TensorFLowLite",
    "zephyr": "CONFIG_TENSORFLOW_LITE_MICRO=y",
    "esp-idf": "espressif/esp-tflite-micro",
    "cmsis-pack": "tensorflow-lite-micro",
}
"""How the dependency is declared."""


@pytest.fixture(scope="module", params=ENGINES)
def built(request: pytest.FixtureRequest) -> RandomBuild:
    return random_build(request.param)


@pytest.fixture(scope="module")
def library(built: RandomBuild, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """The export for a layout."""
    folder = tmp_path_factory.mktemp("exports")
    return cache(lambda layout: export(built, layout, folder / layout / "lib"))


@pytest.fixture(scope="module", params=LAYOUTS)
def exported(request: pytest.FixtureRequest, library: Callable[[str], Exported]) -> Exported:
    return library(request.param)


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_build_gives_the_same_bytes(exported: Exported, tmp_path: Path) -> None:
    again = export(exported.source, exported.layout.name, tmp_path / "elsewhere" / "other_name")
    assert files_of(again.folder) == files_of(exported.folder)


def test_another_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.export_support import *\n"
        "export(random_build('tflm'), 'cmsis-pack', Path(sys.argv[1]))"
    )
    for number in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / number)], env=environment, check=True)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_nothing_names_this_machine(exported: Exported) -> None:
    for name, data in files_of(exported.folder).items():
        text = data.decode()
        for word in (str(ROOT), str(Path.home()), str(exported.folder)):
            assert word not in text, name


def test_every_quoted_header_is_there(exported: Exported) -> None:
    sdk = {path.name for path in exported.sdk.rglob("*.h")} if exported.sdk.is_dir() else set()
    missing = []
    for folder in ("src", exported.layout.example):
        beside = {path.name for path in (exported.folder / folder).iterdir()}
        known = beside | {path.name for path in (exported.folder / "src").iterdir()}
        for path in sorted((exported.folder / folder).iterdir()):
            for header in re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE):
                if header.rpartition("/")[2] not in known | sdk and not header.startswith("tensorflow/"):
                    missing.append((path.name, header))
    assert missing == []


def test_holds_one_engine_and_nothing_of_the_kit_only(exported: Exported) -> None:
    names = {path.name for path in (exported.folder / "src").iterdir()}
    assert "kit_app.c" in names and "tiny_vectors.h" in names
    assert not names & set(PROBE_ONLY)
    assert ("kit_aot.c" in names, "kit_tflm.cpp" in names) == (exported.engine == "aot", exported.engine == "tflm")
    assert ("tiny_model.c" in names, "tiny_tflm.cpp" in names) == (exported.engine == "aot", exported.engine == "tflm")
    assert ("encoder.h" in names) == (exported.engine == "tflm")
    everything = files_of(exported.folder)
    assert not [name for name in everything if name.endswith((".cc", ".j2", ".py", ".mk"))]


def test_the_library_is_the_same_for_every_layout(built: RandomBuild) -> None:
    sources = [
        {name: text for name, text in export_files(layout, built.build).items() if name.startswith("src/")}
        for layout in LAYOUTS.values()
    ]
    assert all(found == sources[0] for found in sources)


def test_probe_sources_are_those_of_the_makefile() -> None:
    line = re.search(r"^PROBE_ONLY := (.*)$", (ROOT / "firmware" / "Makefile").read_text(), re.MULTILINE)
    assert line is not None
    assert {Path(name).name for name in line.group(1).split()} == set(PROBE_ONLY)


def test_dependency_is_declared_for_tflm_alone(exported: Exported) -> None:
    text = b"".join(data for name, data in files_of(exported.folder).items() if not name.startswith("src/")).decode()
    assert (TFLM_NAMES[exported.layout.name] in text) == (exported.engine == "tflm")


def test_readme_licence_and_notice(exported: Exported) -> None:
    readme = (exported.folder / "README.md").read_text()
    assert exported.source.build_hash in readme and "kit serial-capture" in readme
    for path in re.findall(r"`((?:src|examples|samples)/[\w/.]*)`", readme):
        assert (exported.folder / path).exists(), path
    assert (exported.folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert "- random: none" in (exported.folder / "NOTICE").read_text()


# ---- notice ----


def test_attribution_comes_from_the_model_card() -> None:
    card = "# x\n\n## Attribution\n\n- a: ODC-By\n\nContains a.\n\n## Limits\n\nnone\n"
    assert attribution_of_card(card) == ("- a: ODC-By", "Contains a.")
    assert attribution_of_card("# x\n") == ()


def test_attribution_of_the_zoo_names_its_data() -> None:
    card = ROOT / "zoo" / "08x_ds8_l2" / "model_card.md"
    dataset = json.loads(card.with_name("dataset.json").read_text())
    text = " ".join("\n".join(notice_paragraphs(card, dataset, dataset)).split())
    assert "ODC Attribution License" in text and "Talha Iqbal" in text


def test_few_sources_are_named_and_many_are_not() -> None:
    def dataset(count: int) -> dict[str, object]:
        recordings = [{"dataset": "d", "source": f"file {i}"} for i in range(count)]
        return {"datasets": {"d": {"licenses": ["MIT"]}}, "recordings": recordings}

    assert attribution_of_dataset(dataset(2)) == ("- d: MIT, file 0, file 1",)
    assert attribution_of_dataset(dataset(9)) == ("- d: MIT",)


# ---- writing ----


def write(folder: Path, text: str = "one\n") -> None:
    write_export({"a.txt": text, "src/b.txt": text}, folder, {"layout": "cmake"})


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    write_export({"old.txt": "x"}, folder, {})
    write(folder, "two\n")
    assert set(files_of(folder)) == {"a.txt", "src/b.txt", MARKER}
    assert os.listdir(tmp_path) == ["lib"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    write(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "one\n"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / MARKER).unlink(), "is no earlier export"),
        (lambda folder: (folder / "mine.c").write_text("x"), "mine.c, which is not from the export"),
        (lambda folder: (folder / "a.txt").write_text("x"), "a.txt, which was changed after the export"),
        (lambda folder: (folder / MARKER).write_text("[]"), "is not of an export"),
        (lambda folder: (folder / MARKER).write_text("{"), "is not valid JSON"),
    ],
)
def test_anything_else_is_refused_and_untouched(tmp_path: Path, spoil: object, words: str) -> None:
    folder = tmp_path / "lib"
    write(folder)
    spoil(folder)  # type: ignore[operator]
    before = files_of(folder)
    with pytest.raises(ArtifactError, match=re.escape(words)):
        write(folder, "two\n")
    assert files_of(folder) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("x")
    with pytest.raises(ArtifactError, match="is no folder"):
        check_folder(tmp_path / "lib")


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="cannot write"):
        write(tmp_path / "file" / "lib")
    assert files_of(tmp_path) == {"file": b"x"}


def test_options_are_checked_before_anything_is_built(tmp_path: Path) -> None:
    assert check_export(None, None) is None
    for folder, layout, stage, words in (
        (None, "cmake", None, "add --export DIR"),
        (tmp_path, None, None, "--layout is one of: cmake, arduino"),
        (tmp_path, "scons", None, "no layout 'scons'"),
        (tmp_path, "cmake", "render", "leave out --stage"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            check_export(folder, layout, stage)
    found = check_export(tmp_path / "lib", "cmake")
    assert found is not None and found.layout is LAYOUTS["cmake"]


def test_a_build_of_the_other_engine_is_refused(built: RandomBuild) -> None:
    other = "tflm" if built.build.config.firmware.engine == "aot" else "aot"
    with pytest.raises(ArtifactError, match=f"not rendered for engine {other}"):
        collect_sources(built.build.rendered, other)


def test_two_sources_of_one_name_are_refused(built: RandomBuild) -> None:
    build = replace(built.build, rendered={**built.build.rendered, "kit_app.c": ""})
    with pytest.raises(ArtifactError, match=r"two sources are called kit_app\.c"):
        export_files(LAYOUTS["cmake"], build)


def test_the_help_names_every_layout() -> None:
    text = (ROOT / "kit" / "cli" / "build_firmware.py").read_text()
    assert f"For whom: {', '.join(LAYOUTS)}." in text


# ---- manifests ----


ARDUINO_KEYS = {
    "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures",
    "includes", "depends",
}  # fmt: skip
ARDUINO_CATEGORIES = {
    "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
    "Data Processing", "Other",
}  # fmt: skip


def test_arduino_properties_follow_the_library_specification(library: Callable[[str], Exported]) -> None:
    """Keys, name and version rules of Arduino's library specification, revision 2.2."""
    exported = library("arduino")
    folder = exported.folder
    lines = (folder / "library.properties").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines)
    assert ARDUINO_KEYS - {"depends"} <= set(found) <= ARDUINO_KEYS
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", found["name"])
    assert not found["name"].lower().startswith("arduino")
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert found["category"] in ARDUINO_CATEGORIES
    assert (folder / "src" / found["includes"]).is_file()
    assert "avr" not in found["architectures"].split(",")
    sketch = folder / exported.layout.example
    assert (sketch / f"{sketch.name}.ino").is_file()
    assert not [path for path in (folder / "src").rglob("*") if path.is_dir()]


def test_platformio_takes_the_manifest(library: Callable[[str], Exported], monkeypatch: pytest.MonkeyPatch) -> None:
    exported = library("platformio")
    folder = exported.folder
    need_package("platformio")
    from platformio.package.manifest.parser import ManifestParserFactory
    from platformio.package.manifest.schema import ManifestSchema

    # Their schema fetches the list of SPDX names from the internet; ours is one of them.
    monkeypatch.setattr(
        ManifestSchema, "load_spdx_licenses", staticmethod(lambda: {"licenses": [{"licenseId": "Apache-2.0"}]})
    )
    parsed = ManifestParserFactory.new_from_dir(str(folder)).as_dict()
    checked = ManifestSchema().load_manifest(parsed)
    assert checked["name"] == "tiny_codec"
    assert len(checked.get("dependencies", [])) == (1 if exported.engine == "tflm" else 0)
    for example in checked["examples"]:
        for name in example["files"]:
            assert (folder / example["base"] / name).is_file()
    with pytest.raises(Exception, match="version"):
        ManifestSchema().load_manifest({**parsed, "version": "nonsense"})


def test_platformio_project_reads(library: Callable[[str], Exported]) -> None:
    exported = library("platformio")
    folder = exported.folder
    project = ConfigParser()
    project.read(folder / "examples" / "stream" / "platformio.ini")
    assert project["env:stream"]["framework"] == "arduino"
    found = re.search(r"symlink://(\S+)", project["env:stream"]["lib_deps"])
    assert found is not None
    assert (folder / "examples" / "stream" / found.group(1) / "library.json").is_file()


def test_the_component_manager_takes_the_manifest(library: Callable[[str], Exported]) -> None:
    exported = library("esp-idf")
    folder = exported.folder
    need_package("idf_component_tools")
    from idf_component_tools.manager import ManifestManager, UploadMode

    manager = ManifestManager(folder, "tiny_codec", upload_mode=UploadMode.component)
    manifest = manager.load()
    names = {requirement.name for requirement in manifest.requirements}
    assert names == {"idf", "espressif/esp-tflite-micro"} if exported.engine == "tflm" else {"idf"}
    assert str(manifest.version) == exported.source.build.origin.kit_version
    for example in manifest.examples:
        assert (folder / example["path"]).is_dir()


def test_the_component_manager_would_refuse_a_wrong_manifest(tmp_path: Path) -> None:
    need_package("idf_component_tools")
    from idf_component_tools.errors import ManifestError
    from idf_component_tools.manager import ManifestManager, UploadMode

    (tmp_path / "idf_component.yml").write_text('version: "nonsense"\n')
    with pytest.raises(ManifestError):
        ManifestManager(tmp_path, "x", upload_mode=UploadMode.component).load()


def test_zephyr_module_names_what_is_there(library: Callable[[str], Exported]) -> None:
    """Keys of `zephyr/module.yml` in Zephyr's documentation (Modules)."""
    exported = library("zephyr")
    folder = exported.folder
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert set(module) == {"name", "build", "samples"}
    assert set(module["build"]) == {"cmake", "kconfig"} | ({"depends"} if exported.engine == "tflm" else set())
    assert (folder / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (folder / module["build"]["kconfig"]).is_file()
    assert all((folder / path).is_dir() for path in module["samples"])


def test_kconfig_of_the_zephyr_module(library: Callable[[str], Exported], tmp_path: Path) -> None:
    """The sample's prj.conf switches the library on; for tflm not without TensorFlow Lite Micro."""
    exported = library("zephyr")
    folder = exported.folder
    kconfiglib = need_package("kconfiglib")
    settings = (folder / "samples" / "stream" / "prj.conf").read_text()
    others = [name for name in re.findall(r"CONFIG_(\w+)=[yn]", settings) if name != "TINY_CODEC"]
    text = "".join(f'config {name}\n\tbool "{name}"\n\n' for name in others)
    text += 'config MAIN_STACK_SIZE\n\tint "stack"\n\n'
    (tmp_path / "Kconfig").write_text(text + f'source "{folder / "zephyr" / "Kconfig"}"\n')
    (tmp_path / "prj.conf").write_text(settings)
    configuration = kconfiglib.Kconfig(str(tmp_path / "Kconfig"), warn_to_stderr=False)
    configuration.load_config(str(tmp_path / "prj.conf"))
    assert configuration.syms["TINY_CODEC"].str_value == "y"
    assert configuration.warnings == []
    if exported.engine == "tflm":
        configuration.syms["TENSORFLOW_LITE_MICRO"].set_value(0)
        assert configuration.syms["TINY_CODEC"].str_value == "n"


def test_the_pack_description_lists_what_is_there(library: Callable[[str], Exported]) -> None:
    """Elements that the CMSIS-Pack specification requires, and every file once."""
    exported = library("cmsis-pack")
    folder = exported.folder
    path = folder / "RVQFirmwareKit.tiny_codec.pdsc"
    package = ElementTree.parse(path).getroot()
    assert package.tag == "package" and re.fullmatch(r"1\.\d+\.\d+", package.attrib["schemaVersion"])
    order = [child.tag for child in package]
    assert order[:6] == ["vendor", "name", "description", "url", "license", "releases"]
    assert path.name == f"{package.findtext('vendor')}.{package.findtext('name')}.pdsc"
    listed = [element.attrib["name"] for element in package.iter("file")]
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not (folder / name).exists()] == []
    there = {name for name in files_of(folder) if name.startswith(("src/", "examples/"))}
    assert there <= set(listed)
    conditions = {condition.attrib["id"] for condition in package.iter("condition")}
    assert {component.attrib["condition"] for component in package.iter("component")} == conditions
    required = {(r.attrib["Cclass"], r.attrib["Cgroup"]) for r in package.iter("require")}
    assert (("Machine Learning", "TensorFlow") in required) == (exported.engine == "tflm")


STUBS = """
function(check)
    foreach(source ${ARGN})
        if(NOT EXISTS "${CMAKE_CURRENT_LIST_DIR}/${source}")
            message(FATAL_ERROR "no ${source}")
        endif()
        message(STATUS "source ${source}")
    endforeach()
endfunction()
function(idf_component_register)
    cmake_parse_arguments(PARSE_ARGV 0 got "" "" "SRCS;INCLUDE_DIRS")
    check(${got_SRCS} ${got_INCLUDE_DIRS})
endfunction()
function(zephyr_library_sources)
    check(${ARGN})
endfunction()
function(zephyr_include_directories)
    check(${ARGN})
endfunction()
function(zephyr_library_named)
endfunction()
function(target_compile_options)
endfunction()
set(CONFIG_TINY_CODEC y)
"""


@pytest.mark.parametrize(
    ("layout", "lists"),
    [("zephyr", ["zephyr/CMakeLists.txt"]), ("esp-idf", ["CMakeLists.txt", "examples/stream/main/CMakeLists.txt"])],
)
def test_vendor_cmake_files_name_every_source(
    library: Callable[[str], Exported], layout: str, lists: list[str], tmp_path: Path
) -> None:
    """With the vendors' CMake functions replaced by ones that look whether a named file is there."""
    need("cmake")
    exported, seen = library(layout), ""
    for name in lists:
        (tmp_path / "stubs.cmake").write_text(STUBS + f'include("{exported.folder / name}")\n')
        done = subprocess.run(
            ["cmake", "-P", str(tmp_path / "stubs.cmake")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        seen += done.stdout
    for source in exported.sources("src"):
        assert f"src/{source.name}\n" in seen
