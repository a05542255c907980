"""A validation report as JSON and as JUnit XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from kit.files import atomic_write_bytes, write_json
from kit.host.outcome import Outcome, Report


def write_report_json(path: str | Path, report: Report) -> None:
    """Write the report as JSON.

    Raises:
        ArtifactError: the path cannot be written.
    """
    write_json(path, report.as_dict())


def junit_bytes(report: Report) -> bytes:
    """JUnit XML with one test case per target; without any case that ran, one failing case says so."""
    states = [outcome.state for outcome in report.outcomes]
    suite = ElementTree.Element(
        "testsuite",
        name=f"kit validate {report.name} {report.build_hash}",
        tests=str(len(states)),
        failures=str(states.count("failed")),
        skipped=str(states.count("skipped")),
        time=f"{sum(outcome.seconds for outcome in report.outcomes):.3f}",
    )
    for outcome in report.outcomes:
        case = ElementTree.SubElement(
            suite, "testcase", classname=report.name, name=_case_name(outcome), time=f"{outcome.seconds:.3f}"
        )
        if outcome.state == "failed":
            ElementTree.SubElement(case, "failure", message=outcome.detail)
        elif outcome.state == "skipped":
            ElementTree.SubElement(case, "skipped", message=outcome.detail)
        else:
            text = f"{outcome.detail}; {report.frames} frames of {report.source}; truth: {report.truth}"
            ElementTree.SubElement(case, "system-out").text = text
    if "passed" not in states and "failed" not in states:
        case = ElementTree.SubElement(suite, "testcase", classname=report.name, name="any target")
        ElementTree.SubElement(case, "failure", message="no target ran")
        suite.set("tests", str(len(states) + 1))
        suite.set("failures", "1")
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case_name(outcome: Outcome) -> str:
    """The target; with its engine where that is the API double of the tests, which must not pass for evidence."""
    return f"{outcome.target}, engine {outcome.shown_engine}" if outcome.double else outcome.target


def write_junit(path: str | Path, report: Report) -> None:
    """Write the report as JUnit XML.

    Raises:
        ArtifactError: the path cannot be written.
    """
    atomic_write_bytes(path, junit_bytes(report))
