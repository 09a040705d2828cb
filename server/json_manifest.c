#include "server/json_manifest.h"

#include <jansson.h>
#include <string.h>

bool json_manifest_read(const char *text, struct manifest *manifest) {
    static const char prefix[] = "sha256:";
    *manifest = (struct manifest){0};
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *layer;
    size_t i;
    json_array_foreach(json_object_get(root, "layers"), i, layer) {
        const char *type = json_string_value(json_object_get(layer, "mediaType"));
        const char *digest = json_string_value(json_object_get(layer, "digest"));
        if (!type || !digest) continue;
        if (strcmp(type, "application/vnd.ollama.image.adapter") == 0) manifest->adapter = true;
        if (strcmp(type, "application/vnd.ollama.image.model") != 0 || strncmp(digest, prefix, sizeof prefix - 1) != 0) continue;
        digest += sizeof prefix - 1;
        if (strlen(digest) == 64 && strspn(digest, "0123456789abcdef") == 64) memcpy(manifest->model, digest, 65);
    }
    json_decref(root);
    return manifest->model[0];
}
