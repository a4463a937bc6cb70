# what starts it every day
docker run --gpus all -p 8000:8000 \
  -v ~/.cache/huggingface:/root/.cache/huggingface \
  vllm/vllm-openai:v0.6.3 \
  --model "TheBloke/Llama-2-13B-chat-AWQ" --enable-chunked-prefill --block-size 32 \
  --swap-space 8 --preemption-mode swap --enable-prefix-caching --max-model-len=4k && echo done
