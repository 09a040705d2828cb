"""Writes tests/golden/gguf_tokenizers.json: what llama.cpp makes of texts with small vocabularies of each kind that GGUF files hold, and
with every pre-tokenizer that engine/pretokenizer_named.c knows.

    python tests/golden/make_gguf_tokenizers.py

Needs gguf, llama-cpp-python and tokenizers. The byte-level vocabulary is trained without any split, so that its merges reach over every
place where a pre-tokenizer might cut: a cut that is missing, or too many, shows in the tokens. llama.cpp's patterns for the names in OWN
only come near those of the models' own tokenizer.json (letters with marks; spaces beyond ASCII): their cuts are made with the latter, by
Hugging Face's tokenizers.
"""
import json
import pathlib
import re
import tempfile

import gguf
import llama_cpp
import numpy
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

here = pathlib.Path(__file__).parent
TEXTS = [
    "", " ", "  ", "\n", "a", "Hello world", "Hello  world \n\n  again\t\tthere", "don't we'LL they'Ve I'M it'S you'd 'twas", "The year 2024, 31.12.1999 and 1234567890!",
    "x1y22z333 4444 55555 666666", "price: $1,234.56 (approx. +7%) <= >= == != ~^|`", "snake_case camelCase PascalCase XMLHttpRequest iPhone", "http://a.b/c?d=1&e=2#f",
    "#include <stdio.h>\nint main(void) {\n\treturn 0; // done\n}\n", "  leading", "trailing  ", "trailing\n", "\r\n\r\nlines\r\n", "a\n b\n  c\n   d", "...!!!???---===***",
    "ünïcödé Straße ÀÉÎ", "Привет, мир! 42", "ΑΒΓ αβγ", "你好，世界。今天3月5日", "こんにちは世界カタカナ", "안녕하세요 세계", "مرحبا بالعالم، ١٢٣", "हिन्दी में", "สวัสดีชาวโลก", "🙂🙃 emoji👍🏽 end",
    "x² ½ Ⅷ ①", "a\u00a0b\u3000c\u2003d", "tab\tspace \t mix", "(a) [b] {c} \"d\" 'e' «f» “g” ‘h’", "1,2;3:4.5/6\\7|8", "A'B C'd E's F'S", "end of line.\nNext line.\n\n\nThird",
    "word1 word22 word333", "the cat sat on the mat and the cat looked at the dog", "def f(x):\n    if x > 10:\n        return x ** 2\n", "1 2 3 12 123 1234 12345", "!!a ??b ..c",
]
PREFIX = "tokenizer.ggml."

CASED = [r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+", r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"]
REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = ["|".join([*CASED, r"\p{N}", REST])]
GPT4O = ["|".join([*(word + "(?i:'s|'t|'re|'ve|'m|'ll|'d)?" for word in CASED), r"\p{N}{1,3}", REST])]
CASED_LETTERS = "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
CJK = "[一-龥ࠀ-一가-퟿]+"
DEEPSEEK_LLM = [r"[\r\n]", rf"\s?[{CASED_LETTERS}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", CJK, r"\p{N}+"]
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"]
OWN = {"tekken": (TEKKEN, True), "gpt-4o": (GPT4O, False), "llama4": (GPT4O, False), "kanana2": (GPT4O, False),
       "deepseek-llm": (DEEPSEEK_LLM, False), "deepseek-coder": (DEEPSEEK_CODER, False)}


def bpe():
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.train_from_iterator(TEXTS * 2, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {"model": "gpt2", "tokens": tokens + ["<s>", "</s>"], "types": [1] * len(tokens) + [3, 3],
            "merges": [" ".join(m) if isinstance(m, list) else m for m in model["merges"]], "bos": len(tokens), "eos": len(tokens) + 1}


def sentencepiece():
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS[5:20] * 2, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *pieces]
    return {"model": "llama", "tokens": tokens, "types": [2, 3, 3] + [6] * 256 + [1] * len(pieces), "scores": [0.0] * 259 + [-float(i) for i in range(len(pieces))],
            "bos": 1, "eos": 2, "unknown": 0}


def bert():
    words = sorted({word for text in TEXTS for word in re.findall(r"[a-z]+", text.lower())})
    pieces = [chr(c) for c in range(0x21, 0x7f) if not chr(c).isupper()] + ["世", "界", "и", "р", "м", "3", "α"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *("▁" + w for w in dict.fromkeys(pieces + words)), *"abcdefghijklmnopqrstuvwxyz0123456789", "ing", "ed"]
    return {"model": "bert", "tokens": tokens, "types": [3, 2, 3, 3] + [1] * (len(tokens) - 4), "bos": 2, "eos": 3, "unknown": 1, "separator": 3}


def unigram():
    trainer = trainers.UnigramTrainer(vocab_size=300, show_progress=False, unk_token="<unk>", special_tokens=["<pad>", "</s>", "<unk>"])
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS[5:20] * 5, trainer)
    pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
    scores = [float(numpy.float32(score)) for _, score in pieces]
    return {"model": "t5", "tokens": [piece for piece, _ in pieces], "types": [3, 3, 2] + [1] * (len(pieces) - 3), "scores": scores, "eos": 1, "unknown": 2}


def llama_ids(vocabulary, pre, texts):
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        writer = gguf.GGUFWriter(file.name, "t5" if vocabulary["model"] == "t5" else "llama")
        writer.add_tokenizer_model(vocabulary["model"])
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(vocabulary["tokens"])
        writer.add_token_types(vocabulary["types"])
        if "scores" in vocabulary:
            writer.add_token_scores(vocabulary["scores"])
        if "merges" in vocabulary:
            writer.add_token_merges(vocabulary["merges"])
        for key, name in (("bos", "bos_token_id"), ("eos", "eos_token_id"), ("unknown", "unknown_token_id"), ("separator", "seperator_token_id")):
            if key in vocabulary:
                writer.add_uint32(PREFIX + name, vocabulary[key])
        for name, value in vocabulary.get("flags", {}).items():
            writer.add_bool(PREFIX + name, value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        model = llama_cpp.Llama(file.name, vocab_only=True, verbose=False)
        ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]
        model.close()
    return ids


def own_ids(vocabulary, patterns, whole_words, texts):
    tokens = {token: i for i, token in enumerate(vocabulary["tokens"])}
    tokenizer = Tokenizer(models.BPE(tokens, [tuple(merge.split(" ")) for merge in vocabulary["merges"]], ignore_merges=whole_words))
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


if __name__ == "__main__":
    source = (here.parent.parent / "engine" / "pretokenizer_named.c").read_text()
    vocabularies = [bpe(), sentencepiece(), bert(), unigram()]
    vocabularies.append({**vocabularies[3], "flags": {"add_space_prefix": True, "remove_extra_whitespaces": True}})  # as T5's files have them
    vocabularies.append({**vocabularies[1], "flags": {"add_space_prefix": False}})  # as Gemma's
    cases = {}
    for name in re.findall(r'{\.name = "([^"]+)"', source):
        ids = own_ids(vocabularies[0], *OWN[name], TEXTS) if name in OWN else llama_ids(vocabularies[0], name, TEXTS)
        cases.setdefault((0, json.dumps(ids)), []).append(name)
    for i in range(1, len(vocabularies)):
        cases[i, json.dumps(llama_ids(vocabularies[i], "default", TEXTS))] = ["default"]
    facts = {"texts": TEXTS, "vocabularies": vocabularies,
             "cases": [{"vocabulary": vocabulary, "names": names, "ids": json.loads(ids)} for (vocabulary, ids), names in cases.items()]}
    (here / "gguf_tokenizers.json").write_text(json.dumps(facts, ensure_ascii=False) + "\n")
    print(len(cases), "cases")
    for (vocabulary, _), names in cases.items():
        print(vocabulary, *names)
