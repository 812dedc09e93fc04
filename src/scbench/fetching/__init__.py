"""What a sweep reads that is not made on the spot, brought here ahead: weights, tokenizers, published data."""
