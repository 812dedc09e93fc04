"""Answers with transformers' `generate`, one prompt after the other; see toy_engine.py for its faults.

A worker that is to fail imports no libraries, and answers each prompt with its own last token.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src/scbench/engines/workers"))
from serving import serve


class Toy:
    def __init__(self, given):
        self.options = given["options"]
        if self.options["fault"] == "refuse":
            raise ValueError("no such\nmodel")
        self.generate = (lambda ask, prompt: prompt["tokens"][-1:]) if self.options["fault"] else generator(given)
        self.about = {"provenance": {"transformers": "toy", "pid": str(os.getpid())}, "block": 16}
        self.asks = 0

    def answer(self, ask, report):
        print("the worker's libraries print what they like")  # must not reach the job
        self._misbehave()
        self.asks += 1
        replies = []
        for done, prompt in enumerate(ask["prompts"]):
            report(done, len(ask["prompts"]))
            tokens = self.generate(ask, prompt)
            stopped = tokens[-1] in ask["stop"]
            tokens = tokens[:-1] if stopped else tokens
            replies.append({"turn": prompt["turn"], "tokens": tokens, "stopped": "stop" if stopped else "length"})
        if self.options["fault"] == "few":
            replies.pop()
        return replies[::-1]

    def _misbehave(self):
        fault, mark = self.options["fault"], Path(self.options["mark"] or os.devnull)
        if self.asks != self.options["at"] or not fault or mark.is_file():
            return
        if self.options["mark"]:
            mark.write_text("done")
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "exit":
            os._exit(3)
        if fault == "memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if fault == "error":
            raise RuntimeError("it does\nnot work")
        if fault == "hang":
            child = subprocess.Popen(["sleep", "600"])
            Path(self.options["mark"]).write_text(f"{os.getpid()} {child.pid}")
            time.sleep(600)


def generator(given):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(given["model"]["path"], dtype=torch.float32).eval()

    def generate(ask, prompt):
        ids = torch.tensor([prompt["tokens"]])
        length = {"max_new_tokens": prompt["max_new_tokens"], "do_sample": False}
        ends = {"eos_token_id": ask["stop"], "pad_token_id": 0}
        with torch.inference_mode():
            return model.generate(ids, attention_mask=torch.ones_like(ids), **length, **ends)[
                0, ids.shape[1] :
            ].tolist()

    return generate


if __name__ == "__main__":
    serve(Toy)
