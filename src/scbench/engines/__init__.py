"""Engines that are not our own: they get token ids and give answers; all else stays the job's (docs/engines.md)."""
