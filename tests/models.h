/*
 * models.h: where tests find models and golden facts.
 */
#ifndef HEADSCOPE_TESTS_MODELS_H
#define HEADSCOPE_TESTS_MODELS_H

#include <stddef.h>

/* The path of a file in the models folder: $HEADSCOPE_MODELS, else ~/.local/share/headscope/models. */
void models_path(char *path, size_t size, const char *file);

/* The path of a file of the source tree, e.g. "tests/golden/smollm2/cat.json". */
void source_path(char *path, size_t size, const char *file);

#define SMOLLM2_FILE "SmolLM2-135M-Instruct.Q4_1.gguf"

/* How many of SmolLM2's layers the tests run. A build that checks itself takes ten times as long a layer, and what it looks for shows
 * in a few: there the release build alone runs all 30. */
#ifdef __SANITIZE_ADDRESS__
enum { SMOLLM2_LAYERS = 2 };
#else
enum { SMOLLM2_LAYERS = 30 };
#endif

#endif
