"""Methods that turn the dense KV of the base into a smaller form."""
