"""One program of the comparison as a process of its own: reads token counts from stdin, runs one forward pass over that
many ids, answers with a line of JSON: {"seconds", "peak_mb"}, and "first_layer" where results arrive in pieces.

usage: peer.py NAME MODEL.gguf [PATH of a helper program or file]     (started by compare.py)
"""
import atexit
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

LAYERS, HEADS, KV_HEADS, WIDTH, FFN, VOCABULARY, CONTEXT = 30, 9, 3, 576, 1536, 49152, 8192
THREADS = len(os.sched_getaffinity(0))


def ids_of(n, turn):
    """The same ids for everyone; another text each turn, so that nothing can be remembered."""
    return random.Random(1000 * n + turn).choices(range(100, 49000), k=n)


def peak_mb(pid="self"):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def llama(attention):
    """The model's shapes with random weights: only the time is asked for."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=FFN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=CONTEXT,
        tie_word_embeddings=True, attn_implementation=attention)).eval()


def transformers_peer(attention, model):
    import torch
    torch.set_num_threads(THREADS)
    net = llama(attention).model

    def run(n, turn):
        ids = torch.tensor([ids_of(n, turn)])
        start = time.perf_counter()
        with torch.inference_mode():
            net(ids, output_attentions=attention == "eager", use_cache=False)
        return {"seconds": time.perf_counter() - start}
    return run


def transformer_lens_peer(model):
    """TransformerLens reads configuration and tokenizer from a folder: one with the same shapes and an empty tokenizer."""
    import torch
    from tokenizers import Tokenizer, models
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    torch.set_num_threads(THREADS)
    net = llama("eager")
    with tempfile.TemporaryDirectory() as folder:
        net.save_pretrained(folder)
        words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token="<e>", bos_token="<e>",
                                        pad_token="<e>")
        words.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, hf_model=net, tokenizer=AutoTokenizer.from_pretrained(folder))

    def run(n, turn):
        ids = torch.tensor([ids_of(n, turn)])
        start = time.perf_counter()
        with torch.inference_mode():
            bridge.run_with_cache(ids, names_filter=lambda name: name.endswith("pattern"))
        return {"seconds": time.perf_counter() - start}
    return run


def llama_cpp_peer(flash, model):
    from llama_cpp import Llama
    llama = Llama(model_path=model, n_ctx=CONTEXT, n_batch=2048, n_ubatch=512, n_threads=THREADS, n_threads_batch=THREADS,
                  flash_attn=flash, verbose=False)

    def run(n, turn):
        ids = ids_of(n, turn)
        start = time.perf_counter()
        llama.reset()
        llama.eval(ids)
        return {"seconds": time.perf_counter() - start}
    return run


def headscope_peer(model, program):
    """The whole way, from POST to the line `done`, statistics, thumbnails and activations included. The client reads what comes and
    looks for the two lines, no more: on two cores a client that takes the answer apart takes its time from the run."""
    import socket
    import urllib.request
    folder = tempfile.mkdtemp(prefix="headscope-bench-")  # no other model, an empty cache
    server = subprocess.Popen([program, "serve", "--probes", "off", "--port", "0", "--model", model, "--cache", f"{folder}/analyses.db"],
                              env={**os.environ, "HEADSCOPE_MODELS": folder}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    atexit.register(server.terminate)
    address = server.stdout.readline().split()[-1]
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with urllib.request.urlopen(f"{address}api/v1/models") as answer:
        name, = (m["id"] for m in json.load(answer)["items"])
    pieces = memoryview(bytearray(1 << 20))

    def run(n, turn):
        body = json.dumps({"model": name, "token_ids": ids_of(n, turn), "store": False})
        head = (f"POST /api/v1/analyses HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nAccept: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as connection:
            start, first, end, seen = time.perf_counter(), None, None, bytearray()
            connection.sendall((head + body).encode())
            while size := connection.recv_into(pieces):
                seen += pieces[:size]
                if first is None and b'{"event":"layer"' in seen:
                    first = time.perf_counter() - start
                if end is None and b'{"event":"done"' in seen[-size - 20:]:
                    end = time.perf_counter()
        if not end:
            raise SystemExit(f"no answer: {seen[-500:]}")
        peak = peak_mb(server.pid)
        # As every other program gives its memory back after a run, else each run here would need more of it.
        identity = re.search(rb'"id":"([0-9a-f]{64})"', seen).group(1).decode()
        urllib.request.urlopen(urllib.request.Request(f"{address}api/v1/analyses/{identity}", method="DELETE")).close()
        return {"seconds": end - start, "first_layer": first, "peak_mb": peak}
    return run


def floor_peer(model, program):
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(n, turn):
        print(n, file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())
    return run


PEERS = {
    "floor": floor_peer,
    "headscope": headscope_peer,
    "transformers eager": lambda model: transformers_peer("eager", model),
    "transformers sdpa": lambda model: transformers_peer("sdpa", model),
    "TransformerLens": transformer_lens_peer,
    "llama.cpp": lambda model: llama_cpp_peer(False, model),
    "llama.cpp flash": lambda model: llama_cpp_peer(True, model),
}

if __name__ == "__main__":
    runner, turn = PEERS[sys.argv[1]](*sys.argv[2:]), 0
    print("{}", flush=True)
    for line in sys.stdin:
        turn += 1
        answer = runner(int(line), turn)
        answer.setdefault("peak_mb", peak_mb())
        print(json.dumps(answer), flush=True)
