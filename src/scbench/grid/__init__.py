"""The grid: cells with fingerprints, families, sources; the manifest of a planned sweep, and what it will take."""
