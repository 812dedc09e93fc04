"""The KV engine: a trunk is prefilled once, branches leave it and are decoded as one batch.

`adapter` alone knows transformers; `trunk` and `tails` hold the cache; `attention` joins them at every layer;
`answer` decodes; `session` runs the cells of a family over one session.
"""
