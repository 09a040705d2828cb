#include "server/command_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db/cache.h"
#include "server/utf8.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20) /* no model reads as much; a wrong file is noticed before it fills the memory */

static bool read_stream(FILE *file, const char *name, struct analysis_request *request, struct problem *problem) {
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
    request->text = text;
    request->text_size = size;
    return true;
}

bool command_read_text(const struct options *options, struct analysis_request *request, struct problem *problem) {
    *request = (struct analysis_request){.store = true, .parse_special = true, .add_special = true};
    bool fine;
    if (options->text) {
        request->text = strdup(options->text);
        request->text_size = strlen(options->text);
        fine = request->text || problem_memory(problem);
    } else if (!strcmp(options->file, "-")) {
        fine = read_stream(stdin, "standard input", request, problem);
    } else {
        FILE *file = fopen(options->file, "rb");
        if (!file) return problem_set(problem, 404, "%s cannot be opened: %s", options->file, strerror(errno));
        fine = read_stream(file, options->file, request, problem);
        fclose(file);
    }
    size_t sound = fine ? utf8_check(request->text, request->text_size) : 0;
    if (fine && sound < request->text_size)
        fine = problem_set(problem, 422, "the text is not UTF-8: byte %zu (0x%02x) belongs to no character", sound,
                           (unsigned char)request->text[sound]);
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
