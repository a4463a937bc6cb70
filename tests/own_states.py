"""Gives requests a state beside their KV, in the text of a random system."""

from random import Random

SHARE = 0.15  # of the systems
KEEPING = """model keeping from llama2_7b {
  graph {
    embed: Embedding(vocabulary, hidden)
    repeat block * layers {
      norm1:   RMSNorm(hidden)
      qkv:     QKV(hidden, heads, kv_heads, head_dim)
      rotary:  Rotary(heads, kv_heads, head_dim)
      attn:    Attention(heads, kv_heads, head_dim)
      mixer:   GatedDeltaNet(4, 2, 40, 40, 4)
      out:     GEMM(heads * head_dim, hidden, shard = row)
      add1:    Residual(hidden)
      norm2:   RMSNorm(hidden)
      gate_up: GEMM(hidden, 2 * ffn, shard = column)
      act:     SiLU(ffn)
      down:    GEMM(ffn, hidden, shard = row)
      add2:    Residual(hidden)
    }
    norm:    RMSNorm(hidden)
    lm_head: Head(hidden, vocabulary)
    gather:  AllGather(vocabulary, rows = last_tokens)
    sample:  Sampler(vocabulary, rows = last_tokens)
  }
}
"""


def with_states(text: str, seed: int) -> str:
    """Return the text of a system in which, for some seeds, layers are recurrent, too.

    A request keeps some 0.9 MB beside its KV, of which a token takes 0.5, or six times as much:
    memory is as full as it was, and no longer by whole blocks. Where blocks are shared, copies of
    states are, too.
    """
    chance = Random(f"states {seed}")
    if chance.random() >= SHARE:
        return text
    if chance.random() < 0.5:
        text = text.replace("share = prefix", "share = prefix; state_copies = blocks")
    kept = text.replace("from llama2_7b", "from keeping")
    keeping = KEEPING.replace("40, 40", "100, 100") if chance.random() < 0.3 else KEEPING
    return kept.replace("model short from", f"{keeping}model short from") if kept != text else text
