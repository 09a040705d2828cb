#!/usr/bin/env python3
"""Holds each part of a tokenizer.json against Hugging Face's tokenizers: small tokenizers with one part each, on awkward texts.

usage: compare_tokenizer_parts.py TOKENIZER_LINES     (needs the Python package tokenizers; no test runs this)
"""
import json
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers as n, pre_tokenizers as p, processors, trainers

TEXTS = ["", " ", "the-final--countdown", "-a-", "--", "a--", "Hello, World!  it's 12 30½", "ÀÉÎ e\u0301o\u0308 ﬁ Ⅷ Å ǅ", "  lead and trail \u3000", "x\ty\nz",
         "日本 語ab", "<s> a</s> [M] b[M]c  <t>  d tt t_t", "ΟΔΟΣ İI", "don't we'll", "a.b,c;d", "\u0391\u0345\u0301", "가각\u1100\u1161\u11a8", "A1B22C333"]
BEHAVIOURS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def words(pre=None, normalizer=None):
    pieces = sorted({c for t in TEXTS for c in t} | {"▁", " ", "Hello", "the", "count", "ab", "--"})
    vocab = {"[UNK]": 0, **{w: i + 1 for i, w in enumerate(pieces)}}
    for w in pieces:
        vocab.setdefault("##" + w, len(vocab))
    for name in ("<s>", "</s>", "<t>", "[M]"):
        vocab.setdefault(name, len(vocab))
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    if pre:
        tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    return tokenizer


def cases():
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip"):
        yield name, words(None, getattr(n, name)())
    yield "strip left", words(None, n.Strip(True, False))
    yield "replace", words(None, n.Replace(Regex(r"\s+"), "▁"))
    yield "replace text", words(None, n.Replace("--", "a"))
    yield "prepend", words(None, n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")]))
    for flags in range(16):
        yield f"bert {flags}", words(p.BertPreTokenizer(), n.BertNormalizer(bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8)))
    for behaviour in BEHAVIOURS:
        for invert in (False, True):
            for pattern in ("-", Regex(r"\d{1,2}|[A-Z]"), Regex(r"(?=[A-Z\-])"), Regex(r"\w+|[^\w\s]+")):
                yield f"split {behaviour} {invert} {pattern}", words(p.Split(pattern, behaviour, invert))
        yield f"punctuation {behaviour}", words(p.Punctuation(behaviour))
    yield "whitespace", words(p.Whitespace())
    yield "whitespace split", words(p.WhitespaceSplit())
    yield "digits", words(p.Digits(True))
    yield "digits together", words(p.Sequence([p.WhitespaceSplit(), p.Digits(False)]))
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            yield f"metaspace {scheme} {split}", words(p.Metaspace(prepend_scheme=scheme, split=split))
    for flags in range(16):
        tokenizer = words(p.Whitespace(), n.Lowercase())
        tokenizer.add_tokens([AddedToken(t, single_word=bool(flags & 1), lstrip=bool(flags & 2), rstrip=bool(flags & 4), normalized=bool(flags & 8))
                              for t in ("t", "[M]", "World", "<t>")])
        tokenizer.add_special_tokens(["<s>", "</s>"])
        yield f"added {flags}", tokenizer
    for name, post in (("bert", processors.BertProcessing(("</s>", 3), ("<s>", 2))), ("roberta", processors.RobertaProcessing(("</s>", 3), ("<s>", 2))),
                       ("template", processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 2), ("</s>", 3)])),
                       ("sequence", processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(single="$A </s>", pair="$A $B:1", special_tokens=[("</s>", 3)])]))):
        tokenizer = words(p.Whitespace())
        tokenizer.post_processor = post
        yield name, tokenizer
    for prefix in (False, True):
        for regex in (False, True):
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = p.ByteLevel(add_prefix_space=prefix, use_regex=regex)
            tokenizer.train_from_iterator(TEXTS * 3, trainers.BpeTrainer(vocab_size=340, initial_alphabet=p.ByteLevel.alphabet(), show_progress=False))
            yield f"byte level {prefix} {regex}", tokenizer
    for fuse in (False, True):
        for fallback in (False, True):
            vocab = {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "-": 4, "--": 5, **{f"<0x{i:02X}>": 6 + i for i in range(256)}}
            for whole in (False, True):
                yield f"bpe {fuse} {fallback} {whole}", Tokenizer(models.BPE(vocab, [("a", "b")], unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback,
                                                                             ignore_merges=whole))
            pieces = [("<unk>", 0.0), ("a", -1.5), ("b", -2.0), ("ab", -3.0), ("▁", -2.0), ("▁the", -4.0), ("the", -4.5), ("--", -2.0), ("-", -1.0)]
            if fallback:
                pieces += [(f"<0x{i:02X}>", -9.0) for i in range(256)]
            tokenizer = Tokenizer(models.Unigram(pieces, 0, fallback))
            tokenizer.pre_tokenizer = p.Metaspace()
            yield f"unigram {fallback}", tokenizer


def main(program):
    failed = count = 0
    for name, tokenizer in cases():
        count += 1
        pairs = TEXTS[1:5] if tokenizer.post_processor is not None else []  # without one, two texts do not go together
        asked = [(text, None) for text in TEXTS] + [(text, "the b") for text in pairs]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            tokenizer.save(file.name)
            lines = "".join(json.dumps({"text": t, **({"pair": q} if q else {})}) + "\n" for t, q in asked)
            done = subprocess.run([program, file.name], input=lines, capture_output=True, text=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if len(answers) != len(asked):
            print(f"{name}: {done.stderr.strip()}")
            failed += 1
            continue
        bad = []
        for (text, pair), answer in zip(asked, answers):
            encoding = tokenizer.encode(text, pair) if pair else tokenizer.encode(text)
            found = [(t[0], t[4]) for t in answer] if isinstance(answer, list) else answer
            if found != list(zip(encoding.ids, encoding.type_ids)):
                bad.append((text, list(zip(encoding.ids, encoding.type_ids)), found))
        if bad:
            failed += 1
            print(f"{name}: {len(bad)} differ, first", *map(ascii, bad[0]))
    print(f"{count} tokenizers, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
