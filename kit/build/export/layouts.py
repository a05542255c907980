"""The registry of export layouts: which file of an export comes from which template, for each build system.

Paths may name facts of the library in braces (``{name}``), see :class:`kit.build.export.library.Library`. Templates are
below ``firmware_templates/layouts``; what is copied lies below ``firmware`` and is the kit's own source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kit.errors import ConfigError

_PORT_SEAM = {"app_main.c": "ports/common/app_main.c"}
_RINGS = {name: f"ports/common/{name}" for name in ("rx_ring.h", "tx_ring.h")}


@dataclass(frozen=True)
class Layout:
    """How one build system wants a library.

    Attributes:
        name: as the command line has it.
        title: for people.
        example: folder of the example's sources.
        templates: path to template, for both engines.
        tflm_templates: further ones where TensorFlow Lite Micro is the engine.
        example_templates: the example's own sources, by their names in ``example``.
        example_copies: likewise, copied: path below ``firmware``.
        tflm_copies: path to path below ``firmware``, where TensorFlow Lite Micro is the engine.
        tflm_header: header that must come before TensorFlow Lite Micro's own, or empty.
    """

    name: str
    title: str
    example: str
    templates: Mapping[str, str]
    example_templates: Mapping[str, str]
    tflm_templates: Mapping[str, str] = field(default_factory=dict)
    example_copies: Mapping[str, str] = field(default_factory=dict)
    tflm_copies: Mapping[str, str] = field(default_factory=dict)
    tflm_header: str = ""


_ALL = (
    Layout(
        name="cmake",
        title="a CMake project",
        example="examples/stream",
        templates={"CMakeLists.txt": "cmake/CMakeLists.txt.j2"},
        example_templates={
            "main.c": "cmake/main.c.j2",
            "callback_port.c": "cmake/callback_port.c.j2",
            "callback_port.h": "cmake/callback_port.h.j2",
            "posix_line.c": "cmake/posix_line.c.j2",
        },
        tflm_copies={
            "cmake/tflm.cmake": "engines/tflm/tflm.cmake",
            "cmake/how_to_get.txt": "engines/tflm/how_to_get.txt",
        },
    ),
    Layout(
        name="arduino",
        title="an Arduino library",
        example="examples/stream",
        templates={"library.properties": "arduino/library.properties.j2"},
        example_templates={"stream.ino": "arduino/stream.ino.j2", "port.cpp": "arduino/port.cpp.j2"},
        tflm_header="Chirale_TensorFlowLite.h",
    ),
    Layout(
        name="platformio",
        title="a PlatformIO library",
        example="examples/stream/src",
        templates={
            "library.json": "platformio/library.json.j2",
            "examples/stream/platformio.ini": "platformio/platformio.ini.j2",
        },
        example_templates={"main.cpp": "arduino/stream.ino.j2", "port.cpp": "arduino/port.cpp.j2"},
        tflm_header="Chirale_TensorFlowLite.h",
    ),
    Layout(
        name="zephyr",
        title="a Zephyr module",
        example="samples/stream/src",
        templates={
            "zephyr/module.yml": "zephyr/module.yml.j2",
            "zephyr/CMakeLists.txt": "zephyr/CMakeLists.txt.j2",
            "zephyr/Kconfig": "zephyr/Kconfig.j2",
            "samples/stream/CMakeLists.txt": "zephyr/sample_CMakeLists.txt.j2",
            "samples/stream/prj.conf": "zephyr/prj.conf.j2",
        },
        example_templates={"port.c": "zephyr/port.c.j2", "board.h": "board.h.j2"},
        example_copies={**_PORT_SEAM, **_RINGS},
    ),
    Layout(
        name="esp-idf",
        title="an ESP-IDF component",
        example="examples/stream/main",
        templates={
            "CMakeLists.txt": "esp-idf/CMakeLists.txt.j2",
            "idf_component.yml": "esp-idf/idf_component.yml.j2",
            "examples/stream/CMakeLists.txt": "esp-idf/example_CMakeLists.txt.j2",
            "examples/stream/sdkconfig.defaults": "esp-idf/sdkconfig.defaults.j2",
            "examples/stream/main/CMakeLists.txt": "esp-idf/main_CMakeLists.txt.j2",
        },
        example_templates={"main.c": "esp-idf/main.c.j2", "port.c": "esp-idf/port.c.j2"},
    ),
    Layout(
        name="cmsis-pack",
        title="a CMSIS pack",
        example="examples/stream",
        templates={"{vendor}.{name}.pdsc": "cmsis-pack/pack.pdsc.j2"},
        example_templates={"port.c": "cmsis-pack/port.c.j2", "board.h": "board.h.j2"},
        example_copies={**_PORT_SEAM, **_RINGS},
    ),
)

LAYOUTS: Mapping[str, Layout] = {layout.name: layout for layout in _ALL}


def find_layout(name: str | None) -> Layout:
    """The layout of a name.

    Raises:
        ConfigError: none given, or unknown.
    """
    if name is None or name not in LAYOUTS:
        what = "--export needs a layout" if name is None else f"no layout {name!r}"
        raise ConfigError(what, f"--layout is one of: {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
