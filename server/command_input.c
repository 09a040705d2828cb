#include "server/command_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db/cache.h"
#include "server/utf8.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20) /* no model reads as much; a wrong file is noticed before it fills the memory */

/* All of it, with a NUL behind. */
static bool read_stream(FILE *file, const char *name, char **bytes, size_t *length, struct problem *problem) {
    size_t room = 0, size = 0;
    char *text = NULL;
    for (;;) {
        if (room - size < 2) {
            room = room ? room * 2 : 65536;
            char *grown = room <= 2 * TEXT_BYTES_MAX ? realloc(text, room) : NULL;
            if (!grown) {
                free(text);
                if (room > 2 * TEXT_BYTES_MAX)
                    return problem_set(problem, 413, "%s holds more than %zu MiB of text", name, TEXT_BYTES_MAX >> 20);
                return problem_memory(problem);
            }
            text = grown;
        }
        size_t got = fread(text + size, 1, room - size - 1, file);
        size += got;
        if (got == 0) break;
    }
    if (ferror(file)) {
        free(text);
        return problem_set(problem, 500, "%s cannot be read: %s", name, strerror(errno));
    }
    text[size] = '\0';
    *bytes = text;
    *length = size;
    return true;
}

static bool read_named(const char *name, char **bytes, size_t *size, struct problem *problem) {
    if (!strcmp(name, "-")) return read_stream(stdin, "standard input", bytes, size, problem);
    FILE *file = fopen(name, "rb");
    if (!file) return problem_set(problem, 404, "%s cannot be opened: %s", name, strerror(errno));
    bool fine = read_stream(file, name, bytes, size, problem);
    fclose(file);
    return fine;
}

static bool is_utf8(const char *what, const char *text, size_t size, struct problem *problem) {
    size_t sound = utf8_check(text, size);
    return sound == size || problem_set(problem, 422, "the %s is not UTF-8: byte %zu (0x%02x) belongs to no character", what, sound,
                                        (unsigned char)text[sound]);
}

static bool copy_text(const char *from, char **text, size_t *size, struct problem *problem) {
    *size = strlen(from);
    *text = strdup(from);
    return *text || problem_memory(problem);
}

static bool read_chat(const struct options *options, struct analysis_request *request, struct problem *problem) {
    char *list = NULL;
    size_t size = 0;
    bool fine = read_named(options->messages, &list, &size, problem) && is_utf8("chat", list, size, problem) &&
                json_request_messages(list, size, request, problem);
    free(list);
    request->add_generation_prompt = options->add_generation_prompt;
    json_request_chat_defaults(request);
    return fine;
}

bool command_read_text(const struct options *options, struct analysis_request *request, struct problem *problem) {
    *request = (struct analysis_request){.store = true, .parse_special = true, .add_special = true};
    bool fine = options->messages ? read_chat(options, request, problem)
                : options->text   ? copy_text(options->text, &request->text, &request->text_size, problem)
                                  : read_named(options->file, &request->text, &request->text_size, problem);
    if (fine && request->text) fine = is_utf8("text", request->text, request->text_size, problem);
    if (fine && options->pair)
        fine = copy_text(options->pair, &request->text_pair, &request->text_pair_size, problem) &&
               is_utf8("second text", request->text_pair, request->text_pair_size, problem);
    if (fine && options->target)
        fine = copy_text(options->target, &request->target, &request->target_size, problem) &&
               is_utf8("target", request->target, request->target_size, problem);
    if (!fine) json_request_clear(request);
    return fine;
}

bool command_models_create(const struct options *options, struct log *log, struct command_models *made,
                           struct problem *problem) {
    struct cache_options cache = {.path = options->cache, .max_bytes = options->cache_max};
    char error[256];
    *made = (struct command_models){0};
    if (access(options->cache, F_OK) == 0 && cache_open(&cache, &made->cache, error, sizeof error) != CACHE_OK)
        made->cache = NULL; /* digests are then computed: it takes longer, nothing else */
    made->models = models_create(&(struct models_options){
        .folder = options->models_dir,
        .named = options->models,
        .named_count = options->model_count,
        .stores = options->stores ? options->store_folders : (struct model_stores){0},
        .cache = made->cache,
        .log = log,
    });
    return made->models || problem_memory(problem);
}

void command_models_destroy(struct command_models *made) {
    models_destroy(made->models);
    cache_close(made->cache);
}

int command_fail(const struct problem *problem) {
    fprintf(stderr, "headscope: %s\n", problem->detail);
    return EXIT_FAILURE;
}
