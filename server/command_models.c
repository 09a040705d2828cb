/* command_models.c: `headscope models`: every model found, and where. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/command_input.h"
#include "server/commands.h"
#include "server/json_models.h"

static const char *const source_names[] = {
    [MODEL_SOURCE_FOLDER] = "in the models folder", [MODEL_SOURCE_NAMED] = "named by --model",
    [MODEL_SOURCE_HUB] = "from Hugging Face's cache", [MODEL_SOURCE_LLAMA_CPP] = "from llama.cpp's cache",
    [MODEL_SOURCE_OLLAMA] = "from Ollama's store",
};

static void print_json(const struct models_list *list, struct json_text *out) {
    json_put(out, "{\"items\":[");
    for (size_t i = 0; i < list->count; i++) {
        if (i) json_put(out, ",");
        json_models_item(out, &list->items[i], true);
    }
    json_put(out, "]}\n");
}

static void print_text(const struct models_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct models_item *item = &list->items[i];
        const struct model_info *info = &item->info;
        printf("%s%s\n    %s, %s\n", item->id, item->is_default ? " (default)" : "", item->path, source_names[item->source]);
        if (item->error)
            printf("    cannot be used: %s\n", item->error);
        else
            printf("    %s, %d layers x %d heads, up to %d tokens, %s, %.1f MB%s%s\n", info->architecture, info->layers, info->heads,
                   info->context, info->dtype, (double)info->bytes / 1e6, *info->licence ? ", licence " : "", info->licence);
        if (!item->error && info->tokenizer_error[0]) printf("    takes token ids, no text: %s\n", info->tokenizer_error);
    }
}

int command_models(const struct options *options, struct log *log) {
    struct command_models made;
    struct models_list list;
    struct json_text out = {0};
    struct problem problem;
    if (!command_models_create(options, log, &made, &problem) || !models_list(made.models, -1, &list)) {
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
