"""Facts to several sinks: one that fails is left out of that fact, and neither the flow nor the others notice."""

from __future__ import annotations

from headgate.ports import Telemetry


class Tee:
    """Hands every fact to several.

    Guarantee: `emit` does not raise, whatever a sink does: what is told of the flow never stops it.
    """

    def __init__(self, *sinks: Telemetry) -> None:
        """Keep the sinks."""
        self._sinks = list(sinks)
        #: Facts that a sink did not take.
        self.lost = 0

    def add(self, sink: Telemetry) -> None:
        """One more from now on."""
        self._sinks.append(sink)

    def emit(self, fact: object) -> None:
        """Pass a fact on."""
        for sink in self._sinks:
            try:
                sink.emit(fact)
            except Exception:  # noqa: BLE001 - see the guarantee
                self.lost += 1
