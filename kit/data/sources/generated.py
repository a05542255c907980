"""Generated PPG as a source, see :mod:`kit.data.synthetic`."""

from __future__ import annotations

from collections.abc import Iterator

from kit.config import SignalConfig, SyntheticSource
from kit.data.recording import Recording, saturate
from kit.data.synthetic import generate_ppg
from kit.errors import ConfigError


class Generated:
    """One recording per generated subject, at the target rate."""

    dataset = "synthetic"

    def __init__(self, source: SyntheticSource, signal: SignalConfig) -> None:
        """Check that the source can produce the signal.

        Raises:
            ConfigError: ``signal.kind`` is not ppg.
        """
        if signal.kind != "ppg":
            raise ConfigError(
                f"data.sources: the synthetic source makes PPG only, signal.kind is {signal.kind}",
                "use an npz or csv source",
            )
        self.left_out: dict[str, int] = {}
        self._source, self._signal = source, signal

    def __iter__(self) -> Iterator[Recording]:
        """Generate the subjects one by one."""
        signal = self._signal
        for index in range(self._source.subjects):
            codes = generate_ppg(
                seed=self._source.seed,
                subject=index,
                seconds=self._source.seconds_per_subject,
                sample_rate_hz=signal.sample_rate_hz,
                sample_bits=signal.sample_bits,
            )
            yield Recording(
                name=f"synthetic_{index:04d}",
                dataset=self.dataset,
                subject=f"synthetic_{index:04d}",
                samples=saturate(codes, signal.container_bits),
                sample_rate_hz=float(signal.sample_rate_hz),
                scale=1.0,
                unit="ADC codes",
                split=None,
                synthetic=True,
                source_text=f"generated PPG, seed {self._source.seed}, subject {index}",
                license="Apache-2.0",
                bits=signal.sample_bits,
            )
