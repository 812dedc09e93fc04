"""Kernels of tiny tensors run on one thread: on a busy machine, waiting threads make them twenty times as slow."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where kernels in C++ are kept."""
    return tmp_path_factory.mktemp("kernels")
