"""Writes tests/golden/pairs/: what transformers makes of two texts.

    python tests/golden/make_pairs.py MINILM_FOLDER

tokenizer.json: a small WordPiece tokenizer for the tiny encoders of tests/golden/zoo. <model>.json: text, text_pair; of every token the
id, type, sequence and byte range (special ones: 0, 0); maps: float32 in base64 of the layers listed, [layers, heads, N, N].
"""
import base64
import json
import pathlib
import string
import sys

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel

here = pathlib.Path(__file__).parent
target = here / "pairs"
TINY = ("Héllo world, a cat.", "A dog; zwei Bäume")
MINILM = ("The cat sat on the mat — quietly.", "Naïve cats sit on mats")


def tiny_tokenizer():
    letters = string.ascii_lowercase + string.punctuation
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in string.ascii_lowercase), "hello", "world", "cat", "dog"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(words[:5])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def facts(folder, tokenizer, texts, layers):
    encoding = tokenizer.encode(*texts)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    asked = {"input_ids": torch.tensor([encoding.ids])}
    typed = hasattr(model.embeddings, "token_type_embeddings")
    if typed:
        asked["token_type_ids"] = torch.tensor([encoding.type_ids])
    with torch.no_grad():
        maps = model(**asked, output_attentions=True).attentions
    tokens = []
    sequence = 0
    for i, (start, end) in enumerate(encoding.offsets):
        sequence = encoding.sequence_ids[i] if encoding.sequence_ids[i] is not None else sequence
        text = texts[sequence]
        special = bool(encoding.special_tokens_mask[i])
        places = [0, 0] if special else [len(text[:at].encode()) for at in (start, end)]
        tokens.append([encoding.ids[i], encoding.type_ids[i] if typed else 0, sequence, *places])
    weights = np.stack([maps[layer][0].numpy() for layer in layers]).astype("<f4")
    return {"text": texts[0], "text_pair": texts[1], "tokens": tokens, "layers": list(layers), "heads": weights.shape[1],
            "maps": base64.b64encode(weights.tobytes()).decode()}


def write(name, value):
    (target / name).write_text(json.dumps(value, ensure_ascii=False) + "\n")


target.mkdir(exist_ok=True)
tiny = tiny_tokenizer()
tiny.save(str(target / "tokenizer.json"), pretty=False)
for family in ("bert", "albert", "electra", "distilbert"):
    write(family + ".json", facts(here / "zoo" / family, tiny, TINY, (0, 1)))
minilm = pathlib.Path(sys.argv[1])
whole = Tokenizer.from_file(str(minilm / "tokenizer.json"))
whole.no_padding()
whole.no_truncation()
write("minilm.json", facts(minilm, whole, MINILM, (0, 5)))
