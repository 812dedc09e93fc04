"""The names by which kernels are chosen. Imports nothing, since configuration is read without torch."""

AUTO, REFERENCE, TORCH, FLEX, TRITON = "auto", "reference", "torch", "flex", "triton"
STOREYS = (AUTO, REFERENCE, TORCH, FLEX, TRITON)
