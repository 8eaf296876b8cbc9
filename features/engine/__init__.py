"""The engine: one set of Ibis expressions turns events, an index and a catalogue's sources into aggregates."""
