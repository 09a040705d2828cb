"""The table of docs/performance.md: everybody on the same token ids in the same run, in turn, minimum of the rounds.

usage: bench/run [--rounds N] [--tokens 64,256,1024,2048] [--peers NAME,...] [--results FILE] [--model FILE]     (see bench/run)
"""
import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SLOW = {"transformers eager": 2048, "TransformerLens": 1024, "transformers sdpa": 4096}  # the most tokens each is asked for
PAUSE = 0.4  # seconds between two runs: what one does after its answer (memory given back, or readied) is not to slow the next down


class Peer:
    def __init__(self, name, kind, *arguments):
        self.name = name
        self.process = subprocess.Popen([sys.executable, f"{HERE}/peer.py", kind, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if not self.process.stdout.readline():
            raise SystemExit(f"{name} did not start: {sys.executable} {HERE}/peer.py {kind!r} {' '.join(arguments)}")

    def run(self, n):
        print(n, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def requantised(model, kind, folder):
    """The model's weights in another of llama.cpp's precisions: they are only timed, so going through Q4 first is fine."""
    import llama_cpp
    path = os.path.join(folder, f"{kind}.gguf")
    if not os.path.exists(path):
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype = {"F16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16, "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0}[kind]
        options.allow_requantize = True
        if llama_cpp.llama_model_quantize(model.encode(), path.encode(), options):
            raise SystemExit(f"llama.cpp could not write {path}")
    return path


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def start(a, folder):
    """The programs that were asked for, warmed up."""
    chosen = [("floor", "floor", a.model, f"{a.build}/bench/floor"), ("headscope", "headscope", a.model, f"{a.build}/headscope")]
    for name in ("transformers eager", "transformers sdpa", "TransformerLens"):
        chosen.append((name, name, a.model))
    for kind in ("file", "F16", "Q8_0"):
        for flash in ("", " flash"):
            chosen.append((f"llama.cpp {kind}{flash}", f"llama.cpp{flash}", kind))
    wanted = [x for x in a.peers.split(",") if x]
    peers = []
    for name, kind, *arguments in chosen:
        if wanted and name not in ("floor", "headscope") and not any(w in name for w in wanted):
            continue
        if kind.startswith("llama.cpp"):
            arguments = [a.model if arguments[0] == "file" else requantised(a.model, arguments[0], folder)]
        peers.append(Peer(name, kind, *arguments))
    return peers


def measure(peers, n, rounds):
    """Everybody in turn; the first round warms them up and does not count."""
    for turn in range(rounds + 1):
        for peer in peers:
            if n > SLOW.get(peer.name, 1 << 30):
                continue
            time.sleep(PAUSE)
            answer = peer.run(n)
            print(f"{n:6} tokens, round {turn}: {peer.name} {answer and round(answer['seconds'], 3)}", file=sys.stderr)
            if turn and answer:
                yield {"peer": peer.name, "tokens": n, **answer}


def fit(points):
    """Least squares: slope and intercept."""
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    slope = (n * sum(x * y for x, y in points) - sx * sy) / (n * sum(x * x for x, _ in points) - sx * sx)
    return slope, (sy - slope * sx) / n


def table(results):
    counts = sorted({r["tokens"] for r in results})
    names = list(dict.fromkeys(r["peer"] for r in results))
    of = lambda name, n, key="seconds": [r[key] for r in results if r["peer"] == name and r["tokens"] == n and r.get(key)]
    least = lambda name, n, key="seconds": min(of(name, n, key), default=None)
    show = lambda x, digits=3: "-" if x is None else f"{x:.{digits}f}"
    cell = lambda name, n: f"{show(least(name, n))} ({show(max(of(name, n)))})" if of(name, n) else "-"
    print("| tokens | " + " | ".join(str(n) for n in counts) + " | peak MB |\n|" + "---|" * (len(counts) + 2))
    for name in names:
        peak = max(least(name, n, "peak_mb") or 0 for n in counts)
        print(f"| {name} | " + " | ".join(cell(name, n) for n in counts) + f" | {peak:.0f} |")
    print("| headscope, first layer | " + " | ".join(show(least("headscope", n, "first_layer")) for n in counts) + " | |")
    print("| headscope, peak MB | " + " | ".join(show(least("headscope", n, "peak_mb"), 0) for n in counts) + " | |")
    ratio = lambda n, other: show(other and least("headscope", n) / other, 2)
    print("| headscope / floor | " + " | ".join(ratio(n, least("floor", n)) for n in counts) + " | |")
    best = {n: min((t for name in names if name.startswith("llama.cpp") for t in of(name, n)), default=None) for n in counts}
    print("| headscope / best llama.cpp | " + " | ".join(ratio(n, best[n]) for n in counts) + " | |")
    long = [n for n in counts if n >= 1024]
    if len(long) > 1:
        slope, start = fit([(n, least("headscope", n, "peak_mb")) for n in long])
        off = max(abs(start + slope * n - least("headscope", n, "peak_mb")) for n in long)
        print(f"\nPeak memory from {long[0]} to {long[-1]} tokens: {start:.0f} MB + {1000 * slope:.0f} MB a thousand tokens, at most {off:.0f} MB off. "
              f"Time grows with the power {fit([(math.log(n), math.log(least('headscope', n))) for n in long])[0]:.2f} of the tokens; the "
              f"floor's with {fit([(math.log(n), math.log(least('floor', n))) for n in long])[0]:.2f}.")


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--tokens", default="64,256,1024,2048")
    parse.add_argument("--peers", default="")
    parse.add_argument("--results", help="a file to add the results to; the table is of all that it holds: so a long comparison goes in pieces")
    parse.add_argument("--model", required=True)
    parse.add_argument("--build", required=True)
    a = parse.parse_args()
    results = []
    if a.results and os.path.exists(a.results):
        results = [json.loads(line) for line in open(a.results)]
    peers = start(a, tempfile.mkdtemp(prefix="headscope-bench-"))
    for n in (int(x) for x in a.tokens.split(",") if x):
        for result in measure(peers, n, a.rounds):
            results.append(result)
            if a.results:
                with open(a.results, "a") as file:
                    print(json.dumps(result), file=file)
    kernels = {r["kernel"] for r in results if "kernel" in r}
    print(f"{cpu()}, {len(os.sched_getaffinity(0))} cores; OpenBLAS kernel {', '.join(sorted(kernels))}; in turn; seconds, minimum (maximum)\n")
    table(results)
    for peer in peers:
        peer.close()


if __name__ == "__main__":
    main()
