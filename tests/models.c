#include "tests/models.h"

#include <stdio.h>
#include <stdlib.h>

void models_path(char *path, size_t size, const char *file) {
    const char *folder = getenv("HEADSCOPE_MODELS"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (folder != NULL && folder[0] != '\0') snprintf(path, size, "%s/%s", folder, file);
    else if (data != NULL && data[0] != '\0') snprintf(path, size, "%s/headscope/models/%s", data, file);
    else snprintf(path, size, "%s/.local/share/headscope/models/%s", home != NULL ? home : "", file);
}

void source_path(char *path, size_t size, const char *file) {
    const char *folder = getenv("HEADSCOPE_SOURCE");
    snprintf(path, size, "%s/%s", folder != NULL && folder[0] != '\0' ? folder : ".", file);
}
