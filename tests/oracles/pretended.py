"""Several devices on a machine with a CPU alone: tensors say that they lie on one, and may only meet on the same.

Under `devices()` a tensor of `torch.device(KIND, n)` is a shell around a tensor of the CPU, which does the work. An
operation on tensors of two devices raises as it does on GPUs; so whatever runs here assumes no device that it was not
told. As on GPUs, the host's single numbers and the host's indices may meet a device's tensor, and copies go anywhere.
"""

import contextlib
import functools

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

KIND = "privateuseone"
_COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
_INDEXING = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default}


class MixedDevicesError(RuntimeError):
    """What a GPU would have refused."""


class Shell(torch.Tensor):
    """Says that it lies on a device; `inner` is the tensor."""

    @staticmethod
    def __new__(cls, inner, device):
        with torch.inference_mode(False):  # torch cannot index shells that were made in it
            return torch.Tensor._make_wrapper_subclass(
                *(cls, inner.shape),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=device,
            )

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __init__(self, inner, device):
        self.inner = inner

    def tolist(self):
        return self.inner.tolist()

    def data_ptr(self):
        return self.inner.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees what is made without any tensor, too."""

    def __init__(self):
        super().__init__()
        self.crossed = 0  # bytes that went from one device to another

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        with self:  # in inference mode torch hands over what is made of other operations as a whole
            found = function.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
        if function in _COPIES:
            self.crossed += _crossing(function, args, kwargs)
        return _run(function, args, kwargs)


@contextlib.contextmanager
def devices():
    """Within it there are devices of KIND."""
    _register()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…) makes it on the CPU and then copies it
    try:
        with _Mode() as mode:
            yield mode
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


@functools.cache
def _register():
    """Let torch know that there is such a kind, once per process; all that there is to it is the shell."""
    _setup_privateuseone_for_python_backend()


def device(number):
    return torch.device(KIND, number)


def _run(function, args, kwargs):
    here = _meeting_place(function, args, kwargs)
    shells = {id(leaf.inner): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Shell)}
    wanted = kwargs.get("device", here)
    wanted = here if wanted is None else wanted
    inner_kwargs = dict(kwargs)
    if inner_kwargs.get("device") is not None and inner_kwargs["device"].type == KIND:
        inner_kwargs["device"] = torch.device("cpu")
    found = _compute(function, tree_map(_inner, args), tree_map(_inner, inner_kwargs))

    def shell(value):
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in shells:  # changed in place
            held = shells[id(value)]
            if held.shape != value.shape or held.stride() != value.stride():
                raise NotImplementedError(f"{function} changes a size in place")
            return held
        return Shell(value, wanted) if wanted.type == KIND else value

    return tree_map(shell, found)


def _compute(function, args, kwargs):
    if function is torch.ops.aten.histc.default:  # of whole numbers a GPU has it, and a CPU not
        return function(args[0].double(), *args[1:], **kwargs).to(args[0].dtype)
    return function(*args, **kwargs)


def _inner(value):
    return value.inner if isinstance(value, Shell) else value


def _meeting_place(function, args, kwargs):
    """The device of all tensors; raises where they lie on several."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if not tensors:
        return torch.device("cpu")
    if function in _COPIES:
        return tensors[0].device
    if function in _INDEXING:
        tensors = [tensors[0], *(index for index in tensors[1:] if index.device.type != "cpu")]
    numbers = [tensor for tensor in tensors if tensor.dim() == 0 and tensor.device.type == "cpu"]
    places = {tensor.device for tensor in tensors if not any(tensor is number for number in numbers)}
    if len(places) > 1:
        raise MixedDevicesError(f"{function}: tensors on {', '.join(sorted(map(str, places)))}")
    return places.pop() if places else torch.device("cpu")


def _crossing(function, args, kwargs):
    """The bytes of a copy to another device."""
    into, source = (
        (args[0].device, args[1]) if function is torch.ops.aten.copy_.default else (kwargs.get("device"), args[0])
    )
    return 0 if into in (None, source.device) or source.device.type == "cpu" else source.numel() * source.element_size()
