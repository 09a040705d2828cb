/* libFuzzer: any bytes as a folder's config.json, or, where the first is an 'i', the rest as its index of shards; beside them lie the weights of
 * the folder in $FUZZ_FOLDER (a tiny model's). Whatever opens is described and lets go again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two folders: one whose config changes, one whose index does. */
static char folder[2][64] = {"/tmp/fuzz_folder.XXXXXX", "/tmp/fuzz_folder.XXXXXX"};

static void link_file(int to, const char *name, const char *as) {
    char from[512], path[128];
    snprintf(from, sizeof from, "%s/%s", getenv("FUZZ_FOLDER"), name);
    snprintf(path, sizeof path, "%s/%s", folder[to], as);
    if (symlink(from, path) != 0) abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    if (!getenv("FUZZ_FOLDER") || !mkdtemp(folder[0]) || !mkdtemp(folder[1])) {
        fprintf(stderr, "fuzz_folder: $FUZZ_FOLDER names no folder with a config.json and a model.safetensors\n");
        exit(2);
    }
    link_file(0, "model.safetensors", "model.safetensors");
    link_file(1, "model.safetensors", "one.safetensors");
    link_file(1, "config.json", "config.json");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int index = size > 0 && data[0] == 'i';
    char path[128], error[400] = "";
    snprintf(path, sizeof path, "%s/%s", folder[index], index ? "model.safetensors.index.json" : "config.json");
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, data + index, size - (size_t)index) < 0) abort();
    close(file);
    struct model *model = NULL;
    enum engine_status status = model_open(folder[index], &model, error, sizeof error);
    if (status == ENGINE_OK ? model == NULL : model != NULL || error[0] == '\0') abort();
    if (status == ENGINE_OK && model_describe(model)->layers < 1) abort();
    model_release(model);
    return 0;
}
