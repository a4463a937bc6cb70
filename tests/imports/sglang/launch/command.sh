python -m sglang.launch_server --model-path meta-llama/Meta-Llama-3.1-70B-Instruct --tp 4 --mem-fraction-static 0.85 --chunked-prefill-size 4096 --max-running-requests 256 --host 0.0.0.0 --port 30000
