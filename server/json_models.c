#include "server/json_models.h"

#include "server/json_lines.h"

static const char *const source_names[] = {
    [MODEL_SOURCE_FOLDER] = "folder",       [MODEL_SOURCE_NAMED] = "named",   [MODEL_SOURCE_HUB] = "hub",
    [MODEL_SOURCE_LLAMA_CPP] = "llama.cpp", [MODEL_SOURCE_OLLAMA] = "ollama",
};

void json_models_item(struct json_text *out, const struct models_item *item, bool with_path) {
    if (item->error || !item->info.name) {
        json_put(out, "{\"id\":");
        json_put_string(out, item->id);
        json_put(out, ",\"bytes\":");
        json_put_unsigned(out, item->info.bytes);
    } else {
        json_model(out, item->id, item->digest, &item->info);
        if (!out->failed) out->size--; /* its brace comes at the end */
    }
    json_put(out, ",\"source\":");
    json_put_string(out, source_names[item->source]);
    if (item->is_default) json_put(out, ",\"default\":true");
    if (item->open) json_put(out, ",\"open\":true");
    if (item->loading) {
        json_put(out, ",\"loading\":{\"bytes\":");
        json_put_unsigned(out, item->info.bytes);
        json_put(out, ",\"done\":");
        json_put_unsigned(out, item->loaded);
        json_put(out, "}");
    }
    if (item->error) {
        json_put(out, ",\"error\":");
        json_put_string(out, item->error);
    }
    if (with_path) {
        json_put(out, ",\"path\":");
        json_put_string(out, item->path);
    }
    json_put(out, "}");
}
