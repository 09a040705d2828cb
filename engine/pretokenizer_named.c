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

/* Words also part where small letters are followed by capitals; `end` may belong to a word. */
#define CASED_WORDS(end)                                                                                       \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" end            \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" end
#define CASED_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Tekken (Mistral NeMo): digits one by one. GPT-4o: contractions belong to their word, numbers in threes. */
#define TEKKEN CASED_WORDS("") "|\\p{N}" CASED_REST
#define GPT4O CASED_WORDS("(?i:'s|'t|'re|'ve|'m|'ll|'d)?") "|\\p{N}{1,3}" CASED_REST

/* Qwen 3.5: as Qwen 2, marks within words. */
#define QWEN35                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"                               \
    "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define BAILING                                                                                                \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]"     \
    "|\\s+(?!\\S)|\\s+"
#define SEED_CODER                                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+"           \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* BLOOM: words with what hangs on them; the brackets and bars in the class are its own. */
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"

/* The letters of scripts with two cases, as DeepSeek LLM lists them; and its ideographs, syllables and punctuation. */
#define CASED_LETTERS                                                                  \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}" \
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}" \
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}" \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}" \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}" \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}" \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}" \
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}" \
    "\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}" \
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}" \
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}" \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}" \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}" \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}" \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}" \
    "\\x{1E900}-\\x{1E943}"
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define WIDE_PUNCTUATION "!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}"
#define DEEPSEEK3                                                                                              \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"         \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define JAPANESE "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"

/* Runs of punctuation, as Falcon cuts them. */
#define FALCON "[\\p{P}\\$\\+<=>\\^~\\|`]+"
#define THREE_DIGITS "[0-9][0-9][0-9]"

/* What the files call it, and what models of that name do; llama.cpp's vocab-only reading is the witness (tests/golden/make_gguf_tokenizers.py).
 * Names whose rules are not known for certain are left out: a wrong split gives wrong maps, quietly. */
static const struct named_pretokenizer names[] = {
    {.name = "default", .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", THREE_DIGITS}},
    {.name = "gpt-2", .patterns = {GPT2}},
    {.name = "phi-2", .patterns = {GPT2}},
    {.name = "mpt", .patterns = {GPT2}},
    {.name = "jais", .patterns = {GPT2}},
    {.name = "trillion", .patterns = {GPT2}},
    {.name = "mellum", .patterns = {GPT2}},
    {.name = "gigachat", .patterns = {GPT2}},
    {.name = "exaone4", .patterns = {GPT2}},
    {.name = "olmo", .patterns = {GPT2}, .normalises = true},
    {.name = "smollm", .patterns = {"\\p{N}", GPT2}},
    {.name = "starcoder", .patterns = {"\\p{N}", GPT2}},
    {.name = "refact", .patterns = {"\\p{N}", GPT2}},
    {.name = "codeshell", .patterns = {"\\p{N}", GPT2}},
    {.name = "exaone", .patterns = {"\\p{N}", GPT2}},
    {.name = "minerva-7b", .patterns = {"\\p{N}", GPT2}},
    {.name = "command-r", .patterns = {"\\p{N}", GPT2}, .normalises = true},
    {.name = "llama-bpe", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "llama3", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "llama-v3", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "falcon3", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "falcon-h1", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "pixtral", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "lfm2", .patterns = {LLAMA3}, .takes_whole_words = true, .adds_start = true},
    {.name = "dbrx", .patterns = {LLAMA3}},
    {.name = "smaug-bpe", .patterns = {LLAMA3}},
    {.name = "glm4", .patterns = {LLAMA3}},
    {.name = "chatglm-bpe", .patterns = {LLAMA3}},
    {.name = "qwen2", .patterns = {QWEN2}, .normalises = true},
    {.name = "deepseek-r1-qwen", .patterns = {QWEN2}},
    {.name = "stablelm2", .patterns = {QWEN2}},
    {.name = "hunyuan", .patterns = {QWEN2}},
    {.name = "megrez", .patterns = {QWEN2}},
    {.name = "grok-2", .patterns = {QWEN2}},
    {.name = "qwen35", .patterns = {QWEN35}, .normalises = true},
    {.name = "bailingmoe", .patterns = {BAILING}},
    {.name = "seed-coder", .patterns = {SEED_CODER}},
    {.name = "tekken", .patterns = {TEKKEN}, .takes_whole_words = true, .adds_start = true},
    {.name = "gpt-4o", .patterns = {GPT4O}},
    {.name = "llama4", .patterns = {GPT4O}},
    {.name = "kanana2", .patterns = {GPT4O}},
    {.name = "bloom", .patterns = {BLOOM}},
    {.name = "gpt3-finnish", .patterns = {BLOOM}},
    {.name = "poro-chat", .patterns = {BLOOM}},
    {.name = "viking", .patterns = {BLOOM, "\\p{N}"}},
    {.name = "falcon", .patterns = {FALCON, GPT2, THREE_DIGITS}},
    {.name = "deepseek-llm",
     .patterns = {"[\\r\\n]", "\\s?[" CASED_LETTERS "]+", "\\s?[" WIDE_PUNCTUATION "]+", "\\s+$", CJK, "\\p{N}+"}},
    {.name = "deepseek-coder", .patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}"}},
    {.name = "deepseek-v3", .patterns = {"\\p{N}{1,3}", JAPANESE, DEEPSEEK3}},
    {.name = "hunyuan-dense", .patterns = {"\\p{N}{1,3}", JAPANESE, DEEPSEEK3}},
    {.name = "superbpe", .patterns = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
};

const struct named_pretokenizer *pretokenizer_named(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == size && memcmp(names[i].name, name, size) == 0) return &names[i];
    return NULL;
}
