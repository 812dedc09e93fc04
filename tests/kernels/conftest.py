"""Kernels of tiny tensors run on one thread: on a busy machine, waiting threads make them twenty times as slow."""

import shutil

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A folder for kernels in C++."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    return tmp_path_factory.mktemp("kernels")
