"""What kvpress's own pipeline answers, and what our worker does, press by press: run by the interpreter with kvpress.

    .venv-kvpress/bin/python tests/engines/kvpress_alone.py MODEL EXAMPLES

EXAMPLES is a JSON object, by press, of its options. Prints one, by press, of `ours` and `theirs`: lists of token ids
per question, or the error. The pipeline has a model of its own, without the worker's hooks. `again` is what our worker
says when it reads one token at a time.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src" / "scbench" / "engines" / "workers"))

import kvpress.pipeline
import torch
from kvpress import KVPressTextGenerationPipeline
from kvpress_presses import PRESSES, build, needs_weights, with_tokens
from kvpress_worker import start
from transformers import AutoModelForCausalLM

TOKENS, KEPT, NEW = 300, 150, 10
QUESTIONS = (20, 35)


class Ids:
    """A tokenizer that leaves token ids as they are."""

    model_max_length = 10**6

    def decode(self, ids, **_):
        return ids.tolist()


def pipeline(path):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa").eval()
    model.generation_config.eos_token_id = -1  # answers of one length
    made = KVPressTextGenerationPipeline(model=model, tokenizer=Ids())
    kvpress.pipeline.str = lambda answer: answer  # which it makes of what a tokenizer decodes
    return made


def theirs(made, context, questions, name, options, tokens):
    """One pipeline call per question: presses that stay active take no more."""
    answers = []
    for module in made.model.modules():  # what an earlier press has left there
        if hasattr(module, "masked_key_indices"):
            module.masked_key_indices = None
    for question in questions:
        press = build(name, options)
        if tokens is not None:
            with_tokens(press, tokens, len(context))
        made.model.set_attn_implementation("eager" if needs_weights(press) else "sdpa")
        torch.manual_seed(0)
        given = {"context_ids": torch.tensor([context]), "questions_ids": [torch.tensor([question])]}
        answers += made._forward(given, max_new_tokens=NEW, press=press)
    return answers


def ours(engine, context, questions, name, options, tokens):
    prompts = [{"turn": n, "tokens": context + q, "max_new_tokens": NEW} for n, q in enumerate(questions)]
    ask = {"session": "s", "prompts": prompts, "stop": [], "base": len(context), "context": len(context)}
    method = {"target": f"presses.{name}", "options": options}
    return [reply["tokens"] for reply in engine.answer({**ask, "method": method, "tokens": tokens}, lambda *_: None)]


def tried(answer, *given):
    try:
        with torch.no_grad():
            return answer(*given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(path, examples):
    model = {"path": path, "revision": None, "rope": None, "dtype": "auto"}
    engine, single = (start({"model": model, "options": {"device": "cpu", "chunk": chunk}}) for chunk in (256, 1))
    made = pipeline(path)
    torch.manual_seed(1)
    context, *questions = (torch.randint(5, 300, (count,)).tolist() for count in (TOKENS, *QUESTIONS))
    found = {}
    for name in PRESSES:
        given = (context, questions, name, *examples.get(name, [{}, KEPT]))
        said = {"ours": tried(ours, engine, *given), "theirs": tried(theirs, made, *given)}
        found[name] = {**said, "again": tried(ours, single, *given)}
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], json.loads(sys.argv[2]))
