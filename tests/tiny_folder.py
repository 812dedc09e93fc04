"""A tiny random Llama with a tokenizer, as a user's own model would lie in a folder."""

import torch
from transformers import AutoModelForCausalLM

from oracles import tiny
from toy_tokenizers import byte_level


def write_tiny(path):
    """Write it to a folder."""
    tokenizer = byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True)
    config = tiny.CONFIGS["llama"]()
    config.vocab_size, config.max_position_embeddings = len(tokenizer), 2048
    config.eos_token_id = [tokenizer.eos_token_id, 7]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
