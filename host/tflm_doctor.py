"""Checks of a ``TFLM_ROOT``: whether headers, library, target and model belong together (``kit doctor --tflm``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kit.errors import ArtifactError
from kit.graph.container import SCHEMA_VERSION, read_bytes
from kit.host.boards import NATIVE
from kit.host.tflm_headers import Headers, read_headers
from kit.host.tflm_library import TflmLibrary, Witness, read_library
from kit.host.tflm_root import TflmRoot
from kit.host.tflm_target import Target, describe, difference, examine_target, serving_boards
from kit.render.tflm import Operator, registered_operators

_NAMES_MAX = 3
"""So many missing functions are named."""

State = Literal["ok", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One answer.

    Attributes:
        name: what was checked.
        state: ``ok``, ``wrong``, or ``unknown`` where it cannot be told.
        says: what was found, one sentence without a final stop.
        fix: what to do next; empty where nothing is.
    """

    name: str
    state: State
    says: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """Plain mapping for JSON."""
        return asdict(self)


def examine_tflm(root: TflmRoot, target_name: str | None = None, model: Path | None = None) -> list[Check]:
    """Every check, in a fixed order.

    Args:
        root: headers, library and flags.
        target_name: board, or ``native``; None asks only whether the library fits any of them.
        model: the .tflite to run; None leaves its checks out.

    Raises:
        ToolchainError: the library cannot be read, or the target's compiler is missing.
        RunnerError: no such board.
    """
    library = read_library(root.library)
    target, target_check = _target(library, target_name)
    headers = read_headers(root, target.cxx if target else ("g++",))
    return [
        _library(library),
        _headers(headers),
        _static_memory(headers, library.static_memory),
        _strip_error_strings(headers, library.strip_error_strings),
        _cmsis_nn(headers, library.cmsis_nn),
        *_cmsis_nn_functions(library),
        target_check,
        *_flatbuffers(headers),
        _schema(headers),
        *_model(headers, library, model),
    ]


def _library(library: TflmLibrary) -> Check:
    if not library.is_tflm:
        says = f"{library.path.name} does not define tflite::MicroInterpreter"
        return Check("library", "wrong", says, "name TensorFlow Lite Micro's own library in TFLM_LIBRARY")
    first = describe(library.objects[0])
    return Check("library", "ok", f"{library.path.name}: {len(library.objects)} objects, {first}")


def _headers(headers: Headers) -> Check:
    if not headers.problem:
        return Check("headers", "ok", "the harness finds every header")
    if headers.is_wrong:
        return Check("headers", "wrong", headers.problem, "name its folder in TFLM_INCLUDES (docs/tflm.md)")
    return Check("headers", "unknown", headers.problem, "install it to have the headers checked (kit doctor)")


def _agree(name: str, header: bool, witness: Witness, only_header: str, only_library: str) -> Check:
    """A flag in headers and library; the last two say what to do when only one of them has it."""
    if witness.mixed:
        return Check(name, "wrong", witness.why, "build the whole library with one set of flags")
    if witness.state is None:
        return Check(name, "unknown", witness.why)
    if witness.state == header:
        return Check(name, "ok", f"headers and library {'with' if header else 'without'} it: {witness.why}")
    has, lacks = ("headers", "library") if header else ("library", "headers")
    fix = only_header if header else only_library
    return Check(name, "wrong", f"{has} with it, {lacks} without: {witness.why}", fix)


def _static_memory(headers: Headers, witness: Witness) -> Check:
    return _agree(
        "TF_LITE_STATIC_MEMORY",
        headers.defines("TF_LITE_STATIC_MEMORY"),
        witness,
        "build the library with -DTF_LITE_STATIC_MEMORY; as it is, both see tensors of different layouts",
        "add -DTF_LITE_STATIC_MEMORY to TFLM_FLAGS; as it is, both see tensors of different layouts",
    )


def _strip_error_strings(headers: Headers, witness: Witness) -> Check:
    return _agree(
        "TF_LITE_STRIP_ERROR_STRINGS",
        headers.defines("TF_LITE_STRIP_ERROR_STRINGS"),
        witness,
        "take it out of TFLM_FLAGS, or build the library with it (smaller, silent)",
        "add -DTF_LITE_STRIP_ERROR_STRINGS to TFLM_FLAGS; headers without it call MicroPrintf, which is not there",
    )


def _cmsis_nn(headers: Headers, witness: Witness) -> Check:
    return _agree(
        "CMSIS_NN",
        headers.defines("CMSIS_NN"),
        witness,
        "take -DCMSIS_NN out of TFLM_FLAGS, or build the library with these kernels; as it is, linking fails",
        "add -DCMSIS_NN to TFLM_FLAGS; as it is, kernels of every data type are linked",
    )


def _cmsis_nn_functions(library: TflmLibrary) -> Iterator[Check]:
    missing = library.missing_cmsis_nn
    if missing:
        names = ", ".join(missing[:_NAMES_MAX]) + (" ..." if len(missing) > _NAMES_MAX else "")
        says = f"kernels call {names}, which the library does not hold"
        yield Check("CMSIS-NN", "wrong", says, "add the objects of CMSIS-NN to the library")


def _target(library: TflmLibrary, name: str | None) -> tuple[Target | None, Check]:
    if name is not None:
        target = examine_target(name)
        found = difference(library.objects, target)
        if found:
            fix = f"set TFLM_ROOT to a build for {name} ({describe(target.sample)})"
            return target, Check("target", "wrong", f"not for {name}: {found}", fix)
        return target, Check("target", "ok", f"{describe(library.objects[0])} runs on {name}")
    boards = serving_boards(library.objects)
    if not boards:
        says = f"no board of the kit whose compiler is installed runs {describe(library.objects[0])}"
        return None, Check("target", "unknown", says, "--target names your board")
    first = NATIVE if NATIVE in boards else boards[0]
    return examine_target(first), Check("target", "ok", f"runs on {', '.join(boards)}", "--target asks for one board")


def _flatbuffers(headers: Headers) -> Iterator[Check]:
    found, wanted = headers.flatbuffers, headers.schema_flatbuffers
    if not found:
        return
    if wanted and wanted != found:
        says = f"the schema was generated for FlatBuffers {wanted}, the include folders have {found}"
        yield Check("FlatBuffers", "wrong", says, f"put FlatBuffers {wanted} into TFLM_INCLUDES")
    else:
        yield Check("FlatBuffers", "ok", f"version {found}")


def _schema(headers: Headers) -> Check:
    version = headers.number("TFLITE_SCHEMA_VERSION")
    if version is None:
        return Check("schema", "unknown", "the headers do not tell TFLITE_SCHEMA_VERSION")
    if version != SCHEMA_VERSION:
        says = f"the headers read schema version {version}, the kit writes {SCHEMA_VERSION}"
        return Check("schema", "wrong", says, "use a TensorFlow Lite Micro of today")
    return Check("schema", "ok", f"version {version}, as the kit writes")


def _model(headers: Headers, library: TflmLibrary, model: Path | None) -> Iterator[Check]:
    if model is None:
        says = f"the library registers {len(library.registrations)} operators"
        yield Check("kernels", "unknown", says, "--run or --model names the encoder to compare with")
        return
    try:
        operators = registered_operators(read_bytes(model)[0])
    except ArtifactError as error:
        yield Check("model", "wrong", error.what, error.fix)
        return
    yield Check("model", "ok", f"{model.name}: {', '.join(operator.name for operator in operators)}")
    needed = [_registration(headers, operator) for operator in operators]
    missing = [name for name in needed if name not in library.registrations]
    if missing:
        says = f"the library lacks {', '.join(missing)}"
        yield Check("kernels", "wrong", says, "build it with these kernels")
    else:
        yield Check("kernels", "ok", "the library has a kernel for each of these operators")


def _registration(headers: Headers, operator: Operator) -> str:
    """What the harness registers (firmware/engines/tflm/kit_tflm_operators.h)."""
    own_header = f"tensorflow/lite/micro/kernels/{operator.name.lower()}.h"
    convolution = operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
    if operator.int8 and headers.defines("CMSIS_NN") and (convolution or headers.assumed.header(own_header)):
        return f"{operator.name}_INT8"
    return operator.name
