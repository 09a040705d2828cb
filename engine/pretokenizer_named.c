#include <string.h>

#include "engine/pretokenizer.h"

/* Each pattern isolates what it matches, within the pieces that the one before it left. */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const char pretokenizer_gpt2[] = GPT2;

/* Llama 3: numbers in threes, line breaks apart, any one character that is no letter before a word. */
#define LLAMA3                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"      \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Qwen 2: as Llama 3, but every digit alone. */
#define QWEN2                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"           \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Tekken (Mistral NeMo): words also part where small letters are followed by capitals; digits one by one. */
#define TEKKEN                                                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"                \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"               \
    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Names whose rules are not known for certain are left out: a wrong split gives wrong maps, quietly. */
static const struct named_pretokenizer names[] = {
    {.name = "gpt-2", .patterns = {GPT2}},
    {.name = "phi-2", .patterns = {GPT2}},
    {.name = "olmo", .patterns = {GPT2}, .normalises = true},
    {.name = "smollm", .patterns = {"\\p{N}", GPT2}},
    {.name = "starcoder", .patterns = {"\\p{N}", GPT2}},
    {.name = "refact", .patterns = {"\\p{N}", GPT2}},
    {.name = "llama-bpe", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "llama3", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "llama-v3", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "qwen2", .patterns = {QWEN2}, .normalises = true},
    {.name = "tekken", .patterns = {TEKKEN}, .takes_whole_words = true, .adds_start = true},
};

const struct named_pretokenizer *pretokenizer_named(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == size && memcmp(names[i].name, name, size) == 0) return &names[i];
    return NULL;
}
