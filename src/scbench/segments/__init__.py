"""Forms of cached keys and values. A cache is a list of segments, and a segment attends to itself."""
