"""Sweeps as archives that others can check: packing, verifying, and standing beside a sweep of one's own."""
