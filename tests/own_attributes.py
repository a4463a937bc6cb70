"""Attributes that the requests of random systems have: what declares them, and what draws them."""

DECLARED = "attribute tier: int = 1\nattribute patience: time = 50 ms"
ATTRIBUTES = "attributes { tier = zipf(3); patience = uniform(0 s..0.2 s step 50 ms) }"
