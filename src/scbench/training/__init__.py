"""Training the tiny models that the package carries: tokenizer, examples, curriculum, loop."""
