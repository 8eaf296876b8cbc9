"""Sources into the record: one format a module, each with `ingest(source, record_dir, *, progress) -> IngestReport`."""
