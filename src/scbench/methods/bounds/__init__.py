"""Floors and ceilings: what a budget is worth without a choice, and with a perfect one."""
