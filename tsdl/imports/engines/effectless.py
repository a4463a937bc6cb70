"""Flags of engines that say nothing of what is simulated, and those that take no value."""


def _flags(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_BOTH = _flags(
    """
    --allow-credentials --allowed-headers --allowed-methods --allowed-origins --api-key
    --chat-template --device --download-dir --host --load-format --log-level --log-requests
    --model-impl --model-loader-extra-config --node-rank --port --random-seed
    --reasoning-parser --revision --root-path --seed --served-model-name --skip-tokenizer-init
    --ssl-ca-certs --ssl-certfile --ssl-keyfile --tokenizer --tokenizer-mode --tokenizer-path
    --tokenizer-revision --tool-call-parser --trust-remote-code --uds --uvicorn-log-level
    """
)
VLLM = _BOTH + _flags(
    """
    --aggregate-engine-logging --allowed-local-media-path --api-server-count
    --attention-backend --attention-config --calculate-kv-scales --chat-template-content-format
    --code-revision --collect-detailed-traces --config-format --convert
    --data-parallel-address --data-parallel-backend --data-parallel-external-lb
    --data-parallel-hybrid-lb --data-parallel-rank --data-parallel-rpc-port
    --data-parallel-start-rank --disable-cascade-attn
    --disable-frontend-multiprocessing --disable-hybrid-kv-cache-manager --disable-log-requests
    --disable-log-stats --distributed-executor-backend --enable-auto-tool-choice
    --enable-log-requests --enable-prompt-tokens-details --enable-request-id-headers
    --enable-server-load-tracking --enable-sleep-mode --engine-use-ray --generation-config
    --guided-decoding-backend --headless --hf-config-path --hf-token --ignore-patterns
    --kv-cache-metrics --kv-events-config --logprobs-mode --lora-dtype --lora-modules --master-addr
    --master-port --max-cpu-loras --max-log-len --max-logprobs
    --max-lora-rank --max-loras --max-parallel-loading-workers --max-seq-len-to-capture --middleware
    --num-lookahead-slots --otlp-traces-endpoint --override-generation-config --preemption-mode
    --prefix-caching-hash-algo --profiler-config --ray-workers-use-nsight --response-role
    --return-tokens-as-token-ids --runner --safetensors-load-strategy
    --show-hidden-metrics-for-version --stream-interval --structured-outputs-config --task
    --tool-parser-plugin --use-tqdm-on-load --use-v2-block-manager --worker-use-ray
    """
)
VLLM_SWITCHES = _flags(
    """
    --aggregate-engine-logging --allow-credentials --async-scheduling --calculate-kv-scales
    --data-parallel-external-lb --data-parallel-hybrid-lb --disable-cascade-attn
    --disable-custom-all-reduce --disable-frontend-multiprocessing --disable-hybrid-kv-cache-manager
    --disable-log-requests --disable-log-stats --disable-sliding-window --enable-auto-tool-choice
    --enable-chunked-prefill --enable-dbo --enable-eplb --enable-expert-parallel
    --enable-log-requests --enable-lora --enable-prefix-caching --enable-prompt-tokens-details
    --enable-request-id-headers --enable-server-load-tracking --enable-sleep-mode --enforce-eager
    --engine-use-ray --headless --kv-cache-metrics --ray-workers-use-nsight
    --return-tokens-as-token-ids --skip-tokenizer-init --trust-remote-code --use-tqdm-on-load
    --use-v2-block-manager --worker-use-ray
    """
)
SGLANG = _BOTH + _flags(
    """
    --allow-auto-truncate --attention-backend --base-gpu-id --bucket-time-to-first-token
    --constrained-json-whitespace-pattern --crash-dump-folder
    --decode-attention-backend --decode-log-interval --deepep-mode --default-priority-value
    --disable-chunked-prefix-cache --disable-cuda-graph-padding --disable-priority-preemption
    --disable-shared-experts-fusion --dist-init-addr --dist-timeout --enable-cache-report
    --enable-custom-logit-processor --enable-dp-lm-head --enable-metrics
    --enable-multimodal --enable-p2p-check --file-storage-path --fp8-gemm-backend --gpu-id-step
    --grammar-backend --is-embedding --log-level-http --moe-dense-tp-size --moe-runner-backend
    --nccl-init-addr --nccl-port --preferred-sampling-params --prefill-attention-backend
    --quantization-param-path --radix-eviction-policy --retraction-policy --sampling-backend
    --scheduler-recv-interval --show-time-cost --skip-server-warmup --stream-interval
    --stream-output --tokenizer-worker-num --torch-compile-max-bs --warmups --watchdog-timeout
    """
)
SGLANG_SWITCHES = _flags(
    """
    --allow-auto-truncate --disable-chunked-prefix-cache --disable-cuda-graph
    --disable-cuda-graph-padding --disable-custom-all-reduce --disable-overlap-schedule
    --disable-piecewise-cuda-graph --disable-prefill-cuda-graph --disable-priority-preemption
    --disable-radix-cache --disable-shared-experts-fusion --enable-cache-report
    --enable-custom-logit-processor --enable-deepep-moe --enable-dp-attention --enable-dp-lm-head
    --enable-ep-moe --enable-eplb --enable-hierarchical-cache --enable-lora --enable-metrics
    --enable-mixed-chunk --enable-multimodal --enable-overlap-schedule --enable-p2p-check
    --enable-piecewise-cuda-graph --enable-priority-scheduling --enable-torch-compile
    --enable-two-batch-overlap --is-embedding --log-requests --schedule-low-priority-values-first
    --show-time-cost --skip-server-warmup --skip-tokenizer-init --stream-output --trust-remote-code
    """
)
TENSORRT_LLM = _BOTH + _flags(
    """
    --chat-template --custom-module-dirs --custom-tokenizer
    --fail-fast-on-attention-window-too-large --gpus-per-node --media-io-kwargs
    --num-postprocess-workers --otlp-traces-endpoint --tool-parser
    """
)
TENSORRT_LLM_OPTIONS = _flags(
    """
    allreduce_strategy attn_backend autotuner_enabled checkpoint_format dtype
    enable_autotuner enable_iter_perf_stats enable_iter_req_stats enable_layerwise_nvtx_marker
    enable_min_latency force_dynamic_quantization garbage_collection_gen0_threshold gpus_per_node
    guided_decoding_backend iter_stats_max_iterations load_format
    max_stats_len moe_config num_postprocess_workers nvfp4_gemm_config
    orchestrator_type otlp_traces_endpoint perf_metrics_max_requests postprocess_tokenizer_dir
    print_iter_log ray_worker_extension_cls reasoning_parser return_perf_metrics revision
    sampler_type skip_tokenizer_init stream_interval tokenizer tokenizer_mode torch_compile_config
    trust_remote_code
    """
)
