"""Methods that put a context together from KV computed elsewhere."""
