"""Keys of configurations that no cost and no memory depends on, in what the graphs count."""

_ENDS = (
    "token_id", "token_ids", "token_index", "dropout", "dropout_prob", "layerdrop", "pdrop",
    "eps", "epsilon", "theta", "bias", "softcapping", "attn_implementation", "init_std",
    "initializer_range", "base_freq", "version",
)  # fmt: skip
_STARTS = (
    "summary_", "scale_attn_", "output_", "return_dict", "mm_", "image_token", "projector_",
    "multimodal_", "vision_", "router_", "topk_", "rotary_", "hidden_act", "time_step_", "mtp_",
)  # fmt: skip
_WHOLE = {
    "architectures", "model_type", "_name_or_path", "auto_map", "use_cache", "pretraining_tp",
    "cache_implementation", "activation_function", "activation", "partial_rotary_factor",
    "reorder_and_upcast_attn", "task_specific_params", "do_layer_norm_before", "prefix", "id2label",
    "_remove_final_layer_norm", "layer_norm_elementwise_affine", "use_parallel_residual",
    "apply_residual_connection_post_layernorm", "original_max_position_embeddings", "label2id",
    "is_decoder", "is_encoder_decoder", "gradient_checkpointing", "image_size",
    "spatial_merge_size", "use_bidirectional_attention", "sliding_window_size",
    "query_pre_attn_scalar",
    "norm_topk_prob", "scoring_func", "routed_scaling_factor", "ep_size", "swiglu_limit",
    "initial_context_length", "attn_scale", "attn_temperature_tuning", "floor_scale",
    "for_llm_compressor", "use_qk_norm", "aux_loss_alpha", "seq_aux", "use_mamba_kernels", "expand",
    "chunk_size", "mamba_hidden_act", "num_logits_to_keep", "rescale_prenorm_residual",
    "residual_in_fp32", "moe_shared_expert_overlap", "indexer_rope_interleave", "rope_interleave",
    "index_share_for_mtp_iteration", "moe_router_dtype", "qk_norm_type", "use_routing_bias",
    "use_mtp",
}  # fmt: skip


def effectless(key: str) -> bool:
    """Tell whether a key may be passed over without a word."""
    return key in _WHOLE or key.endswith(_ENDS) or key.startswith(_STARTS)
