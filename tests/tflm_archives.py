"""Small static libraries with the symbols that a TensorFlow Lite Micro of given flags has, made with gcc and ar."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT, need

DOUBLE_HEADERS = ROOT / "tests" / "tflm_double" / "include"

INTERPRETER = "_ZN6tflite16MicroInterpreter6InvokeEv"
PRINTF = "_Z11MicroPrintfPKcz"
CONV = "_ZN6tflite16Register_CONV_2DEv"
CONV_INT8 = "_ZN6tflite21Register_CONV_2D_INT8Ev"
DEPTHWISE = "_ZN6tflite26Register_DEPTHWISE_CONV_2DEv"
DEPTHWISE_INT8 = "_ZN6tflite31Register_DEPTHWISE_CONV_2D_INT8Ev"
CMSIS = "arm_convolve_wrapper_s8"
RANGE = "_ZN6tflite33CalculateActivationRangeQuantizedEP13TfLiteContext21TfLiteFusedActivationP12TfLiteTensorPiS5_"
TEMPORARY = "_ZN6tflite12GetTemporaryEP13TfLiteContextPK10TfLiteNodei"


@dataclass(frozen=True)
class Member:
    """An object: symbols that it defines, and symbols that it calls."""

    defines: tuple[str, ...]
    calls: tuple[str, ...] = ()

    def source(self) -> str:
        """C text; names of C++ are given to the assembler as they stand in symbol tables."""
        lines = [f'void called{n}(void) __asm__("{name}");' for n, name in enumerate(self.calls)]
        for n, name in enumerate(self.defines):
            body = " ".join(f"called{m}();" for m in range(len(self.calls))) if n == 0 else ""
            lines.append(f'void defined{n}(void) __asm__("{name}"); void defined{n}(void) {{ {body} }}')
        return "\n".join(lines) + "\n"


RELEASE: Mapping[str, Member] = {
    "common.o": Member(("TfLiteTypeGetName",)),
    "kernel_util.o": Member((RANGE,)),
    "micro_interpreter.o": Member((INTERPRETER,)),
    "conv.o": Member((CONV,)),
    "depthwise_conv.o": Member((DEPTHWISE,)),
}
"""Reference kernels with TF_LITE_STATIC_MEMORY and TF_LITE_STRIP_ERROR_STRINGS."""

CMSIS_RELEASE: Mapping[str, Member] = {
    **RELEASE,
    "conv.o": Member((CONV, CONV_INT8), (CMSIS,)),
    "depthwise_conv.o": Member((DEPTHWISE, DEPTHWISE_INT8), (CMSIS,)),
    "arm_convolve_wrapper_s8.o": Member((CMSIS,)),
}
"""The same with the kernels of CMSIS-NN."""

LOGS: Mapping[str, Member] = {
    **RELEASE,
    "micro_log.o": Member((PRINTF,)),
    "conv.o": Member((CONV,), (PRINTF,)),
}
"""Reference kernels that print."""

DYNAMIC: Mapping[str, Member] = {
    **RELEASE,
    "common.o": Member(("TfLiteTypeGetName", "TfLiteIntArrayCreate")),
    "kernel_util.o": Member((RANGE, TEMPORARY)),
}
"""Without TF_LITE_STATIC_MEMORY."""


def archive(
    path: Path, members: Mapping[str, Member], compiler: Sequence[str] = ("gcc",), mode: str = "rcsD"
) -> Path:
    """A static library; skips the test without the compiler."""
    need(compiler[0])
    work = path.parent / f"{path.stem}-objects"
    work.mkdir(parents=True)
    for name, member in members.items():
        source = work / f"{name}.c"
        source.write_text(member.source(), encoding="utf-8")
        subprocess.run([*compiler, "-c", str(source), "-o", str(work / name)], check=True)
    subprocess.run(["ar", mode, str(path), *(str(work / name) for name in members)], check=True, capture_output=True)
    return path


def tflm_root(
    root: Path,
    members: Mapping[str, Member],
    flags: str = "-DTF_LITE_STATIC_MEMORY -DTF_LITE_STRIP_ERROR_STRINGS",
    compiler: Sequence[str] = ("gcc",),
) -> Path:
    """A TFLM_ROOT with the headers of the API double and a library of these members."""
    shutil.copytree(DOUBLE_HEADERS, root / "include")
    (root / "tflm-kit.conf").write_text(f"TFLM_FLAGS={flags}\n", encoding="utf-8")
    (root / "lib").mkdir()
    archive(root / "lib" / "libtensorflow-microlite.a", members, compiler)
    return root
