#!/bin/sh
docker run --gpus all nvcr.io/nvidia/tensorrt-llm/release:1.1.0 \
  trtllm-serve openai/gpt-oss-120b --tp_size 4 --ep_size 4 --max_batch_size 640 \
  --max_num_tokens 20000 --kv_cache_free_gpu_memory_fraction 0.85 --trust_remote_code \
  --extra_llm_api_options options.yaml
