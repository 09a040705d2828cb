/* command_models.c: `headscope models`: every model found, and where. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/command_input.h"
#include "server/commands.h"
#include "server/json_lines.h"

/* As an item of GET /models, with the path. */
static void print_json(const struct models_list *list, struct json_text *out) {
    json_put(out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        const struct models_item *item = &list->items[i];
        if (i) json_put(out, ",");
        if (item->error) {
            json_put(out, "{\"id\":");
            json_put_string(out, item->id);
            json_put(out, ",\"error\":");
            json_put_string(out, item->error);
        } else {
            json_model(out, item->id, item->digest, &item->info);
            if (!out->failed) out->size--; /* the brace comes after the path */
        }
        json_put(out, ",\"path\":");
        json_put_string(out, item->path);
        json_put(out, "}");
    }
    json_put(out, "]}\n");
}

static void print_text(const struct models_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct models_item *item = &list->items[i];
        const struct model_info *info = &item->info;
        if (item->error)
            printf("%s\n    %s\n    cannot be used: %s\n", item->id, item->path, item->error);
        else
            printf("%s\n    %s\n    %s, %d layers x %d heads, up to %d tokens, %s, %.1f MB\n", item->id, item->path,
                   info->architecture, info->layers, info->heads, info->context, info->dtype, (double)info->bytes / 1e6);
        if (!item->error && info->tokenizer_error[0]) printf("    takes token ids, no text: %s\n", info->tokenizer_error);
    }
}

int command_models(const struct options *options, struct log *log) {
    struct command_models made;
    struct models_list list;
    struct json_text out = {0};
    struct problem problem;
    if (!command_models_create(options, log, &made, &problem) || !models_list(made.models, &list)) {
        command_models_destroy(&made);
        problem_memory(&problem);
        return command_fail(&problem);
    }
    if (options->json) {
        print_json(&list, &out);
        if (!out.failed) fwrite(out.bytes, 1, out.size, stdout);
    } else {
        print_text(&list);
        if (list.count == 0)
            fprintf(stderr, "headscope: no model in %s; scripts/fetch_model smollm2-135m-instruct gets one\n",
                    options->models_dir);
    }
    bool fine = !out.failed;
    json_free(&out);
    models_list_clear(&list);
    command_models_destroy(&made);
    if (fine) return EXIT_SUCCESS;
    problem_memory(&problem);
    return command_fail(&problem);
}
