"""Methods that read only a part of the cache for each new token."""
