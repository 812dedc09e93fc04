"""Answers with a press of NVIDIA's kvpress (arXiv 2510.00636) on transformers: the worker of engine=kvpress.

Runs in an environment of its own (envs/kvpress.txt), since kvpress needs an older transformers and changes it when it
is imported. `serving` says how it is driven. A press sees the base in one pass and acts at its end; what follows is
read over what it has left, one prompt after the other.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from kvpress import BasePress
from kvpress_presses import PRESSES, Refused, build, share_kept, with_tokens
from kvpress_reading import DENSE, Reader, State
from serving import Report, serve
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.utils import logging

FAMILIES = ("llama", "mistral", "phi3", "qwen2", "qwen3")  # those that kvpress supports, but for Gemma 3
WHILE_DECODING = "while decoding"
SEED = 0  # of presses that draw random numbers


class Engine:
    """A model and the session that it is reading; see `serving.Engine`."""

    def __init__(self, reader: Reader, about: dict[str, Any]) -> None:
        self.about = about
        self._reader = reader
        self._presses: dict[str, BasePress | None] = {}
        self._session: tuple[str, ...] = ()
        self._known: list[State] = []  # of this session: the base, and what was read last
        self._peaks: dict[str, int] = {}
        self._measures = True
        self._pressed = False
        self._prefill = 0.0  # seconds that the base took
        self._nominal = 1.0  # share of the base that the press keeps by its parameters alone

    @torch.no_grad()
    def answer(self, ask: dict[str, Any], report: Report) -> list[dict[str, Any]]:
        """One reply per prompt, in the order of the turns."""
        began = time.perf_counter()
        session = tuple(json.dumps(ask[key], sort_keys=True) for key in ("session", "method", "base", "tokens"))
        prompts = sorted(ask["prompts"], key=lambda one: one["turn"])
        if session != self._session:
            self._known, self._session = [], ()
            self._forget()
            self._known = [self._base(prompts[0]["tokens"][: ask["base"]], ask)]
            self._session, self._prefill = session, self._now() - began
            self._peaks = self._peak("prefill")
        self._forget()
        replies = []
        for number, prompt in enumerate(prompts):
            replies.append(self._reply(prompt, frozenset(ask["stop"]), began))
            report(number + 1, len(prompts))
        return replies

    def _base(self, ids: list[int], ask: dict[str, Any]) -> State:
        press = self._press(ask["method"])
        self._pressed = press is not None
        if press is not None and ask["tokens"] is not None:
            with_tokens(press, ask["tokens"], len(ids))
        torch.manual_seed(SEED)
        try:
            base = self._reader.base(ids, ask["context"], press)
        except BaseException:
            self._presses.clear()  # which may be left half made
            raise
        wanted = len(ids) if ask["tokens"] is None else ask["tokens"]
        if base.form == DENSE and base.press is None and wanted < len(ids):
            raise RuntimeError(f"{type(press).__name__} should have acted and has left the cache as it was")
        self._nominal = share_kept(press) if ask["tokens"] is None else min(1.0, wanted / len(ids))
        return base

    def _press(self, method: dict[str, Any]) -> BasePress | None:
        """The press that a method's class is called after, None for no press; made once, as some load weights."""
        name = method["target"].rpartition(".")[2]
        if name not in PRESSES:
            return None
        key = json.dumps(method, sort_keys=True)
        if key not in self._presses:
            self._presses[key] = build(name, method["options"])
        return self._presses[key]

    def _reply(self, prompt: dict[str, Any], stop: frozenset[int], began: float) -> dict[str, Any]:
        ids, at = prompt["tokens"], self._now()
        known = max((s for s in self._known if list(s.ids) == ids[: len(s.ids)]), key=lambda s: len(s.ids))
        question = ids[len(known.ids) :]
        torch.manual_seed(SEED)
        state = self._reader.read(known, question) if question else known
        self._known[1:] = [state] if question else []
        read = self._now()
        tokens, stopped, acted = self._reader.answer(state, prompt["max_new_tokens"], stop)
        end = self._now()
        return {
            "turn": prompt["turn"],
            "tokens": tokens,
            "stopped": stopped,
            "wait": read - began,
            "decode": end - read,
            "kept": state.kept,
            "kv_bytes": {
                "dense": len(ids) * self._token_bytes,
                "nominal": round(len(ids) * self._token_bytes * self._nominal),
                "stored": state.stored,
                "touched": state.touched,
            },
            "form": "+".join(
                part for part in (state.form, WHILE_DECODING) if part != (DENSE if acted else WHILE_DECODING)
            ),
            "idle": self._pressed and state.form == DENSE and not acted,
            "seconds": {"prefill": self._prefill, "question": read - at, "decode": end - read},
            "peak": self._peaks | self._peak("decode"),
        }

    @property
    def _token_bytes(self) -> int:
        return int(self.about["token_bytes"])

    def _now(self) -> float:
        if self._reader.model.device.type == "cuda":
            torch.cuda.synchronize(self._reader.model.device)
        return time.perf_counter()

    def _forget(self) -> None:
        """Measure the highest memory use from now on, where the system lets us."""
        if self._reader.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._reader.model.device)
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")  # `man 5 proc`: resets the peak resident set size
        except OSError:
            self._measures = False

    def _peak(self, stage: str) -> dict[str, int]:
        """Bytes of the highest memory use since then: allocated on a GPU, of the process on a CPU."""
        if self._reader.model.device.type == "cuda":
            return {stage: int(torch.cuda.max_memory_allocated(self._reader.model.device))}
        if not self._measures:
            return {}
        lines = Path("/proc/self/status").read_text().splitlines()
        return {stage: next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))}


def start(given: dict[str, Any]) -> Engine:
    """Load the model; raises `Refused` for one that kvpress was not written for."""
    logging.disable_progress_bar()
    wanted, options = given["model"], given["options"]
    device = torch.device("cuda" if torch.cuda.is_available() and options["device"] != "cpu" else "cpu")
    config = AutoConfig.from_pretrained(wanted["path"], revision=wanted["revision"])
    check(config)
    if wanted["rope"]:
        config.rope_parameters = {**config.rope_parameters, **wanted["rope"]}
    model = AutoModelForCausalLM.from_pretrained(
        wanted["path"],
        config=config,
        revision=wanted["revision"],
        dtype=_dtype(wanted["dtype"], device),
        attn_implementation="sdpa",
        use_safetensors=True,
    )
    model = model.to(device).eval().requires_grad_(False)
    shape = model.config
    head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    return Engine(
        Reader(model, options["chunk"]),
        {
            "provenance": {
                **{name: version(name) for name in ("kvpress", "transformers", "torch")},
                "device": torch.cuda.get_device_name(device)
                if device.type == "cuda"
                else f"cpu x{torch.get_num_threads()}",
                "dtype": str(model.dtype).removeprefix("torch."),
            },
            "token_bytes": 2 * shape.num_hidden_layers * shape.num_key_value_heads * head * model.dtype.itemsize,
        },
    )


def check(config: PretrainedConfig) -> None:
    """Raise `Refused` for a model that kvpress was not written for, or whose layers do not all see everything."""
    if config.model_type not in FAMILIES:
        raise Refused(f"kvpress knows {', '.join(FAMILIES)}, not {config.model_type}")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (config.model_type in ("mistral", "phi3") and config.sliding_window is not None):
        raise Refused("a layer's window would slide over a cache from which a press has dropped tokens")


def _dtype(name: str, device: torch.device) -> Any:
    if name != "auto":
        return getattr(torch, name)
    return torch.float32 if device.type == "cpu" else "auto"


if __name__ == "__main__":
    serve(start)
