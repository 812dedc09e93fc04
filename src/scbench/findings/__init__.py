"""What a sweep says about claims that were written down before it ran."""
