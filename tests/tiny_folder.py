"""A tiny random Llama with a tokenizer, as a user's own model would lie in a folder."""

import torch
from transformers import AutoModelForCausalLM

from oracles import tiny
from toy_tokenizers import byte_level


def write_tiny(path, template=None):
    """Write it to a folder, with a chat template in the style of Llama 3 if one is given."""
    headers = [] if template is None else ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = byte_level(["<s>", "</s>", *headers], bos="<s>", eos="</s>", adds_bos=True, template=template)
    config = tiny.CONFIGS["llama"]()
    config.vocab_size, config.max_position_embeddings = len(tokenizer), 2048
    config.eos_token_id = [tokenizer.eos_token_id, 7]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
