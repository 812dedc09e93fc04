"""What a run leaves on the disk, and the tables that are made of it: no torch, no transformers."""
