"""What the library says of devices and clusters, where data sheets alone would mislead."""

import pytest

import tsdl


@pytest.mark.parametrize("number_format", ["bf16", "fp8"])
def test_a_prompt_takes_what_kernels_reach_and_not_what_a_data_sheet_promises(
    number_format: str,
) -> None:
    """An MI300X has a third more FLOPS than an H200 on paper; measured GEMMs are no faster."""

    def first_token(device: str) -> float:
        plan = tsdl.compile(f"""
          model llama from llama3_1_70b {{
            weight_dtype = {number_format}; compute_dtype = {number_format}
          }}
          workload alone {{
            requests = 1; arrivals = burst(size = 1 req)
            prompt = constant(8000 tokens); output = constant(1 token)
          }}
          scenario s {{
            model = llama; cluster = single({device}, 8); policy = vllm; workload = alone
          }}
        """)
        return float(plan.run().summary["latency"]["ttft"]["mean"])

    assert 1 < first_token("MI300X") / first_token("H200") < 1.3


def test_devices_of_a_disaggregated_worker_talk_by_their_own_link() -> None:
    """And KV leaves it by a port to the network for each of them."""
    plan = tsdl.compile("""
      cluster apart from disaggregated_cluster(H100_SXM, 2, 3, InfiniBand_HDR, devices = 4) {}
      scenario s {
        model = llama3_1_70b; cluster = apart; policy = disaggregated; workload = sharegpt
      }
    """)
    assert [(kind.count, kind.devices, kind.link.name) for kind in plan.workers] == [
        (2, 4, "NVLink4"),
        (3, 4, "NVLink4"),
    ]
    for kind in plan.workers:
        assert kind.alone
        assert kind.network is not None
        assert (kind.network.name, kind.network.bandwidth) == ("InfiniBand_HDR", 4 * 0.87 * 25e9)


@pytest.mark.parametrize(
    ("device", "terabytes"),
    [
        ("GH200", 4), ("GH200_144G", 4.9), ("B300", 7.75), ("T4", 0.32), ("RTX_6000_Ada", 0.96),
        ("RTX_A6000", 0.768), ("RTX_3090", 0.936), ("MI355X", 8),
    ],
)  # fmt: skip
def test_a_token_takes_somewhat_longer_than_its_weights_are_read(
    device: str, terabytes: float
) -> None:
    plan = tsdl.compile(f"""
      workload alone {{
        requests = 1; arrivals = burst(size = 1 req)
        prompt = constant(100 tokens); output = constant(100 tokens)
      }}
      scenario s {{
        model = qwen2_5_3b; cluster = single({device}); policy = vllm; workload = alone
      }}
    """)
    read = plan.workers[0].weights / (terabytes * 1e12)
    token = float(plan.run().summary["latency"]["tpot"]["mean"])
    assert read < token < 1.6 * read + 3e-3
