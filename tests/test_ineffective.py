"""Settings without effect: nothing is told of those that have one somewhere."""

import tsdl


def test_what_has_an_effect_in_what_derives_from_it_is_not_told() -> None:
    """And what a part reads an operator may say beside its parts."""
    assert (
        tsdl.check("""
operator Odd(m: number) {
  bytes = tokens * m * dtype.size
  part prefill { flops = 100 * bytes / dtype.size; when = prefills > 0 }
  part decode  { bytes = 3 * bytes; when = decodes > 0 }
}
model odd from llama2_7b { graph {
  embed:   Embedding(vocabulary, hidden)
  repeat block * layers { attn: Attention(heads, kv_heads, head_dim); odd: Odd(hidden) }
  lm_head: Head(hidden, vocabulary)
} }
cluster sound { worker gpu * 2 { hardware = A100_80G; repair = 10 min; start = 1 min } }
cluster flaky from sound { worker gpu { failures = exponential(mean = 2 h) } }
policy base from chunked { local { swapped_first = false } }
policy swapping from base { local { preempt = swap } }
param c: cluster = sound
param p: policy = base
workload w from sharegpt { requests = 10 }
scenario s { model = odd; cluster = c; policy = p; workload = w }
study x { scenario = s; vary c in [sound, flaky]; vary p in [base, swapping]; table mean(ttft) }
""")
        == []
    )
