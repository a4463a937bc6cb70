python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-V3-0324 --tp 8 --dp 8 --enable-dp-attention --ep-size 8 --trust-remote-code --page-size 64
