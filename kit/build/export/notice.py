"""Whose data stand behind a build: what the NOTICE of an export says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCES_MAX = 4
"""More recordings than these are not listed one by one."""

_HEADING = "## Attribution"


def attribution_of_card(card: str) -> tuple[str, ...]:
    """Paragraphs of the section "Attribution" of a model card; nothing where it has none."""
    _, found, rest = card.partition(f"{_HEADING}\n")
    section = rest.split("\n## ", 1)[0].strip() if found else ""
    return tuple(part.strip() for part in section.split("\n\n") if part.strip())


def attribution_of_dataset(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """One paragraph per data set of a dataset.json: its licences, and its sources as far as they are few."""
    return tuple(
        f"- {name}: {', '.join([*found['licenses'], *_sources(dataset, name)])}"
        for name, found in sorted(dataset["datasets"].items())
    )


def _sources(dataset: Mapping[str, Any], name: str) -> list[str]:
    found = sorted({recording["source"] for recording in dataset["recordings"] if recording["dataset"] == name})
    return found if len(found) <= SOURCES_MAX else []


def notice_paragraphs(card: Path | None, trained_on: Mapping[str, Any], embedded: Mapping[str, Any]) -> tuple[str, ...]:
    """What an export has to say of its data.

    Args:
        card: model card of the weights; None where they were trained by the run itself.
        trained_on: dataset.json of the run.
        embedded: the same for the recordings that the embedded frames come from.
    """
    weights = attribution_of_dataset(trained_on)
    if card is not None:
        weights = attribution_of_card(card.read_text(encoding="utf-8")) or weights
    return (
        "The weights in src/ were fitted on these recordings:",
        *weights,
        "The embedded recording in src/ is from:",
        *attribution_of_dataset(embedded),
    )
