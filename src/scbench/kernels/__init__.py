"""Attention kernels: they read what they are told to read, and know nothing about methods.

`spec` says how scores become weights, `visible` what a row may see, `merge` joins partial results exactly,
`reference` defines truth, `torch_cpu` and `blockwise` are fast enough to use, `choose` picks one by capability.
"""
