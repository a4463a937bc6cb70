python3 -m vllm.entrypoints.openai.api_server --model meta-llama/Llama-3.3-70B-Instruct -pp 2 -tp 4 --enforce-eager --scheduling-policy priority --num-gpu-blocks-override 20000
