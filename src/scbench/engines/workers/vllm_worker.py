"""vLLM behind the protocol of `serving`; runs in the environment of envs/vllm.txt, or one with CUDA's vLLM."""

from __future__ import annotations

import os
import platform
from typing import Any

from serving import Report, serve

# All in this process, unless a model is spread over several devices, and nothing is sent to anyone. Automatic thread
# binding on a CPU keeps a core for itself. Whoever sets one of these has reasons.
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",  # a window beyond the model's own is asked for by name (model.window)
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
}
ALONE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


class Vllm:
    """One model in vLLM."""

    def __init__(self, start: dict[str, Any]) -> None:
        model, options = start["model"], start["options"]
        parallel = model.get("parallel", 1)
        for name, value in (ENVIRONMENT if parallel > 1 else {**ENVIRONMENT, **ALONE}).items():
            os.environ.setdefault(name, value)
        import torch
        import transformers
        import vllm
        from vllm.platforms import current_platform

        cpu = current_platform.is_cpu()
        if cpu:
            check_kv_dtype(options["kv_cache_dtype"])
        dtype = "float32" if model["dtype"] == "auto" and cpu else model["dtype"]
        settings: dict[str, Any] = {
            "model": model["path"],
            "revision": model["revision"],
            "dtype": dtype,
            "max_model_len": model["window"],
            "trust_remote_code": model["trust_remote_code"],
            "tensor_parallel_size": parallel,
            "skip_tokenizer_init": True,  # token ids come and go
            "generation_config": "vllm",  # greedy, whatever the checkpoint would sample with
            "disable_log_stats": False,  # they are the times of each answer
            "enable_prefix_caching": options["enable_prefix_caching"],
            "kv_cache_dtype": options["kv_cache_dtype"],
            "block_size": options["block_size"],
            "max_num_batched_tokens": options["max_num_batched_tokens"],
            "enforce_eager": cpu if options["enforce_eager"] is None else options["enforce_eager"],
            "hf_overrides": model["overrides"],
        }
        if options["kv_gib"] is not None:
            settings["kv_cache_memory_bytes"] = int(options["kv_gib"] * 2**30)
        self._llm = vllm.LLM(**{name: value for name, value in settings.items() if value is not None})
        config = self._llm.llm_engine.vllm_config
        self.about = {
            "provenance": {
                "engine_version": vllm.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
                "device": f"cpu x{torch.get_num_threads()}" if cpu else current_platform.get_device_name(),
                "dtype": str(config.model_config.dtype).removeprefix("torch."),
                "kv_cache_dtype": str(config.cache_config.cache_dtype),
                "parallel": str(parallel),
                "chunk": str(config.scheduler_config.max_num_batched_tokens),
            },
            "block": config.cache_config.block_size if options["enable_prefix_caching"] else None,
        }

    def answer(self, ask: dict[str, Any], report: Report) -> list[dict[str, Any]]:
        """All prompts at once; `cache_salt` lets only those of the same session share KV."""
        from vllm import SamplingParams

        prompts = [{"prompt_token_ids": p["tokens"], "cache_salt": ask["session"]} for p in ask["prompts"]]
        params = [
            SamplingParams(
                temperature=0,
                max_tokens=p["max_new_tokens"],
                stop_token_ids=ask["stop"],
                ignore_eos=True,  # what ends an answer is said
                detokenize=False,
            )
            for p in ask["prompts"]
        ]
        outputs = self._llm.generate(prompts, params, use_tqdm=bars(report))
        return [reply(prompt["turn"], output) for prompt, output in zip(ask["prompts"], outputs, strict=True)]


def reply(turn: int, output: Any) -> dict[str, Any]:
    """What vLLM says of one answer; the stop token is not part of it."""
    said, times = output.outputs[0], output.metrics
    tokens = list(said.token_ids)
    return {
        "turn": turn,
        "tokens": tokens[:-1] if said.finish_reason == "stop" else tokens,
        "stopped": "stop" if said.finish_reason == "stop" else "length",
        "wait": times.first_token_latency,
        "decode": times.last_token_ts - times.first_token_ts,
        "cached": output.num_cached_tokens,
    }


def bars(report: Report) -> Any:
    """vLLM's progress bars, which stand in the log, made to report too."""
    from tqdm import tqdm

    class Reporting(tqdm):  # type: ignore[misc]
        def update(self, n: int = 1) -> None:
            super().update(n)
            report(self.n, self.total)

    return Reporting


def check_kv_dtype(dtype: str) -> None:
    """Refuse what vLLM takes on a CPU and then answers nonsense with: its attention there knows the plain and fp8."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    known = CPUAttentionBackend.supported_kv_cache_dtypes
    if dtype not in known:
        raise ValueError(f"kv_cache_dtype={dtype} needs a GPU; on a CPU vLLM has {', '.join(known)}")


if __name__ == "__main__":
    serve(Vllm)
