/*
 * Tokenises lines of JSON with one tokenizer, for scripts that compare tokenizers.
 * usage: tokenizer_lines FILE.gguf|FILE.json < lines
 * A line is {"text": T, "pair": T or absent, "special": parse and add special tokens (true)}; the answer is
 * [[id, start, end, sequence, type], ...] or {"error": sentence}.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mapping.h"
#include "engine/tokenizer_json.h"

static struct tokenizer *open_tokenizer(const char *path) {
    static char error[300];
    struct mapping *mapping = NULL;
    struct tokenizer *tokenizer = NULL;
    struct gguf *gguf = NULL;
    enum engine_status status = mapping_open(path, &mapping, error, sizeof error);
    if (status == ENGINE_OK && strstr(path, ".gguf") != NULL) {
        status = gguf_open(mapping_data(mapping), mapping_size(mapping), &gguf, error, sizeof error);
        if (status == ENGINE_OK) status = tokenizer_from_gguf(gguf, &tokenizer, error, sizeof error);
    } else if (status == ENGINE_OK) {
        status = tokenizer_open_json((const char *)mapping_data(mapping), mapping_size(mapping), &tokenizer, error, sizeof error);
    }
    gguf_close(gguf);
    if (mapping != NULL) mapping_close(mapping);
    if (tokenizer == NULL) fprintf(stderr, "%s: %s\n", path, status == ENGINE_OK ? "no tokenizer" : error);
    return tokenizer;
}

static void answer(const struct tokenizer *tokenizer, const json_t *line) {
    char error[300];
    const json_t *text = json_object_get(line, "text"), *pair = json_object_get(line, "pair");
    bool special = !json_is_false(json_object_get(line, "special"));
    const struct tokenize_options options = {.parse_special = special, .add_special = special,
                                             .pair = json_string_value(pair), .pair_size = json_string_length(pair)};
    struct token *tokens = NULL;
    size_t n = 0;
    if (tokenizer_run(tokenizer, json_string_value(text), json_string_length(text), &options, &tokens, &n, error, sizeof error) !=
        ENGINE_OK) {
        json_t *problem = json_pack("{ss}", "error", error);
        json_dumpf(problem, stdout, 0);
        json_decref(problem);
    } else {
        printf("[");
        for (size_t i = 0; i < n; i++)
            printf("%s[%d,%u,%u,%d,%d]", i > 0 ? "," : "", tokens[i].id, tokens[i].start, tokens[i].end, tokens[i].sequence,
                   tokens[i].type);
        printf("]");
        free(tokens);
    }
    printf("\n");
}

int main(int count, char **arguments) {
    struct tokenizer *tokenizer = count == 2 ? open_tokenizer(arguments[1]) : NULL;
    json_t *line;
    if (tokenizer == NULL) return EXIT_FAILURE;
    while ((line = json_loadf(stdin, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL)) != NULL) {
        answer(tokenizer, line);
        json_decref(line);
    }
    tokenizer_destroy(tokenizer);
    return EXIT_SUCCESS;
}
