#!/usr/bin/env python3
"""Holds the engine's tokenizers against Hugging Face's tokenizers on random multilingual strings.

usage: compare_tokenizers.py TOKENIZER_LINES MODELS [COUNT [SEED [HARD]]]

Needs the Python packages tokenizers and gguf (a virtual environment of your own; no test runs this). TOKENIZER_LINES is the build's
tests/tokenizer_lines, MODELS the models folder with SmolLM2, MiniLM and Gemma 3. Prints how many strings differ, the
first of them, and exits 1 if any does. HARD: a folder to keep the strings with most tokens for their size in.
"""
import json
import os
import random
import subprocess
import sys
import unicodedata

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

BLOCKS = [(0x20, 0x7e), (0x20, 0x7e), (0, 0x1f), (0xa0, 0x24f), (0x250, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x530, 0x5ff), (0x600, 0x6ff),
          (0x700, 0x8ff), (0x900, 0xdff), (0xe00, 0xfff), (0x1000, 0x139f), (0x13a0, 0x1aff), (0x1b00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x24ff),
          (0x2500, 0x2bff), (0x2c00, 0x2fff), (0x3000, 0x30ff), (0x3100, 0x33ff), (0x3400, 0x9fff), (0xa000, 0xabff), (0xac00, 0xd7a3),
          (0xf900, 0xffff), (0x10000, 0x1247f), (0x1d000, 0x1d7ff), (0x1f000, 0x1faff), (0x20000, 0x2fa1f), (0xe0000, 0xe01ef)]
WORDS = ["the", "Hello", "don't", "we'LL", "naïve", "Straße", "İstanbul", "ΟΔΟΣ", "e\u0301", "한국어", "日本", "हिन्दी", "العربية", "12345", "3.14", "  ", "   ",
         "\n\n", "\t\t", "\r\n", "<|im_start|>", "<|im_end|>", "[MASK]", "[SEP]", "<bos>", "<start_of_turn>", "ﬁn", "\u200d", "👩‍💻", "🇩🇪", "▁", "_", "...", "!?",
         "(x)", "http://a.b/c?d=1", "#include", "  if (a)", "ß", "ǅ", "Ⅷ", "½", "\u00a0", "\u3000", "\u2028", "\ufeff", "<0x0A>", "a" * 150]


def random_text(draw):
    parts = []
    for _ in range(draw.randint(1, 12)):
        if draw.random() < 0.4:
            parts.append(draw.choice(WORDS))
            continue
        low, high = draw.choice(BLOCKS)
        run = "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 8)))
        parts.append("".join(c for c in run if unicodedata.category(c) not in ("Cs", "Cn")))
        if draw.random() < 0.5:
            parts.append(" ")
    return "".join(parts)


def fields(path):
    reader = GGUFReader(path)
    return lambda key: reader.fields["tokenizer.ggml." + key].contents()


def add_tokens(tokenizer, tokens, kinds):
    for token, kind in zip(tokens, kinds):
        if kind in (3, 4):
            (tokenizer.add_special_tokens if kind == 3 else tokenizer.add_tokens)([AddedToken(token, special=kind == 3, normalized=False)])


def smollm2(path):
    get = fields(path)
    tokens = get("tokens")
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in get("merges")]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=tokens[get("unknown_token_id")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    add_tokens(tokenizer, tokens, get("token_type"))
    return tokenizer, []


def gemma3(path):
    get = fields(path)
    tokens, scores, kinds = get("tokens"), get("scores"), get("token_type")
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = []
    for token, score, kind in zip(tokens, scores, kinds):
        if kind != 1:
            continue
        for i in range(1, len(token)):
            left, right = vocab.get(token[:i]), vocab.get(token[i:])
            if left is not None and right is not None and kinds[left] == 1 and kinds[right] == 1:
                merges.append((-score, left, right, token[:i], token[i:]))
    merges.sort()
    tokenizer = Tokenizer(models.BPE(vocab, [merge[3:] for merge in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    add_tokens(tokenizer, tokens, kinds)
    return tokenizer, [get("bos_token_id")]


def minilm(path):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, []


CASES = {"smollm2": (smollm2, "SmolLM2-135M-Instruct.Q4_1.gguf"), "minilm": (minilm, "MiniLM-L6-v2/tokenizer.json"),
         "gemma3": (gemma3, "gemma-3-270m.Q4_K_M.gguf")}


def compare(name, program, folder, texts, hard):
    make, file = CASES[name]
    path = os.path.join(folder, file)
    reference, start = make(path)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    answers = subprocess.run([program, path], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    differences, kept = [], []
    for text, answer in zip(texts, answers):
        tokens = json.loads(answer)
        ids = start + reference.encode(text).ids
        found = [token[0] for token in tokens] if isinstance(tokens, list) else tokens
        if found != ids:
            differences.append((text, ids, found))
        kept.append((len(ids) / (len(text) + 8), text, ids))
    print(f"{name}: {len(answers)} of {len(texts)} strings compared, {len(differences)} differ")
    for text, ids, found in differences[:20]:
        print("  ", ascii(text), ids, found)
    if hard:
        kept.sort(reverse=True)
        with open(os.path.join(hard, name + "_random.jsonl"), "w") as out:
            for _, text, ids in kept[:150] + kept[-50:]:
                out.write(json.dumps({"text": text, "ids": ids}) + "\n")
    return len(differences)


def main(arguments):
    program, folder = arguments[0], arguments[1]
    count = int(arguments[2]) if len(arguments) > 2 else 20000
    draw = random.Random(int(arguments[3]) if len(arguments) > 3 else 1)
    texts = [random_text(draw) for _ in range(count)]
    hard = arguments[4] if len(arguments) > 4 else None
    return 1 if sum(compare(name, program, folder, texts, hard) for name in CASES) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
