"""Kernels in C++, compiled where they are first used. They are an extra: without a compiler nothing is missing."""
