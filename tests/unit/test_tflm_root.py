"""Finding TensorFlow Lite Micro: usual layouts, the small file, the environment, and what is said without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import ToolchainError
from kit.host.tflm_root import CONF_NAME, DEFAULT_FLAGS, WITNESS_HEADER, find_tflm, how_to_get

FLATBUFFERS = "flatbuffers/flatbuffers.h"
ECOSYSTEMS = ("plain TFLM", "Zephyr", "ESP-IDF", "CMSIS-Pack", "Arduino")


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def plain_tree(root: Path, headers: str = "third_party/flatbuffers/include", gen: str = "lib") -> Path:
    put(root / WITNESS_HEADER)
    put(root / headers / FLATBUFFERS)
    return put(root / gen / "libtensorflow-microlite.a")


def test_a_folder_laid_out_by_hand(tmp_path: Path) -> None:
    library = plain_tree(tmp_path)
    (tmp_path / "third_party/gemmlowp").mkdir()
    found = find_tflm(tmp_path, {})
    assert found.library == library
    assert found.flags == DEFAULT_FLAGS == ("-DTF_LITE_STATIC_MEMORY",)
    relative = [folder.relative_to(tmp_path).as_posix() for folder in found.include_dirs]
    assert relative == [".", "third_party/flatbuffers/include", "third_party/gemmlowp"]
    assert found.header(FLATBUFFERS) == tmp_path / "third_party/flatbuffers/include" / FLATBUFFERS
    assert found.header("no/such.h") is None


def test_a_checkout_of_tflm_after_its_own_make(tmp_path: Path) -> None:
    downloads = "tensorflow/lite/micro/tools/make/downloads/flatbuffers/include"
    library = plain_tree(tmp_path, downloads, "gen/linux_x86_64_default_gcc/lib")
    found = find_tflm(None, {"TFLM_ROOT": str(tmp_path)})
    assert found.library == library
    assert tmp_path / downloads in found.include_dirs


def test_the_file_and_the_environment(tmp_path: Path) -> None:
    put(tmp_path / "vendor/src" / WITNESS_HEADER)
    put(tmp_path / "vendor/fb" / FLATBUFFERS)
    put(tmp_path / "out/a.a")
    put(tmp_path / "out/b.a")
    put(
        tmp_path / CONF_NAME,
        "# a vendor's build\n\nTFLM_INCLUDES=vendor/src  vendor/fb\nTFLM_LIBRARY = out/a.a\n"
        "TFLM_FLAGS=-DTF_LITE_STATIC_MEMORY -DCMSIS_NN '-DNAME=a b'\n",
    )
    found = find_tflm(tmp_path, {})
    assert found.include_dirs == (tmp_path / "vendor/src", tmp_path / "vendor/fb")
    assert found.library == tmp_path / "out/a.a"
    assert found.flags == ("-DTF_LITE_STATIC_MEMORY", "-DCMSIS_NN", "-DNAME=a b")
    assert (found.defines("CMSIS_NN"), found.defines("NAME"), found.defines("CMSIS")) == (True, True, False)
    other = find_tflm(tmp_path, {"TFLM_LIBRARY": "out/b.a", "TFLM_FLAGS": "-DCMSIS_NN -UCMSIS_NN"})
    assert other.library == tmp_path / "out/b.a"
    assert not other.defines("CMSIS_NN")


def test_without_one_the_line_says_where_it_comes_from(tmp_path: Path) -> None:
    for root, environ in ((None, {}), (None, {"TFLM_ROOT": ""}), (tmp_path / "absent", {})):
        with pytest.raises(ToolchainError) as caught:
            find_tflm(root, environ)
        line = str(caught.value)
        assert line.endswith(how_to_get()) and "\n" not in line and "TFLM_ROOT" in line
        assert all(name in line for name in ECOSYSTEMS)


def test_several_libraries_are_listed(tmp_path: Path) -> None:
    plain_tree(tmp_path, gen="gen/one/lib")
    plain_tree(tmp_path, gen="gen/two/lib")
    expected = "2 static libraries: gen/one/lib/libtensorflow-microlite.a, gen/two/lib/libtensorflow-microlite.a"
    with pytest.raises(ToolchainError, match=expected) as caught:
        find_tflm(tmp_path, {})
    assert "TFLM_LIBRARY" in caught.value.fix
    assert find_tflm(tmp_path, {"TFLM_LIBRARY": "gen/two/lib/libtensorflow-microlite.a"}).library.is_file()


def test_missing_headers(tmp_path: Path) -> None:
    plain_tree(tmp_path)
    (tmp_path / WITNESS_HEADER).unlink()
    with pytest.raises(ToolchainError, match=f"{WITNESS_HEADER} is not in ") as caught:
        find_tflm(tmp_path, {})
    assert "TFLM_INCLUDES" in caught.value.fix


def test_no_library(tmp_path: Path) -> None:
    plain_tree(tmp_path).unlink()
    with pytest.raises(ToolchainError, match="holds no static library"):
        find_tflm(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TFLM_INCLUDE=x\n", "line 1: 'TFLM_INCLUDE=x' is no setting; KEY=VALUE with TFLM_INCLUDES"),
        ("\nnonsense\n", "line 2: 'nonsense' is no setting"),
        ("TFLM_FLAGS=-DA\nTFLM_FLAGS=-DB\n", "line 2: TFLM_FLAGS is set a second time"),
        ("TFLM_FLAGS='-DA\n", "No closing quotation"),
        ("TFLM_INCLUDES=nowhere\n", "nowhere, which is no folder"),
        ("TFLM_LIBRARY=nowhere.a\n", "nowhere.a, which is no file"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    plain_tree(tmp_path)
    put(tmp_path / CONF_NAME, text)
    with pytest.raises(ToolchainError) as caught:
        find_tflm(tmp_path, {})
    assert expected in str(caught.value) and "\n" not in str(caught.value)
