#include "engine/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/failure.h"
#include "engine/family_weights.h"
#include "engine/json_config.h"
#include "engine/mapping.h"
#include "engine/safetensors.h"

enum { PATH_SIZE = 4096, NAME_SIZE = 512 };

/* The first failure sets `status` and writes `error`; what follows does nothing. */
struct folder {
    struct model *model;
    const struct family *family;
    struct safetensors **file; /* [model->mappings] */
    struct named_tensors tensors; /* of all files */
    enum engine_status status;
    char *error;
    size_t error_size;
};

#define FOLDER_FAIL(folder, failure, ...)                                                                      \
    ((folder)->status == ENGINE_OK                                                                             \
         ? (void)((folder)->status = engine_fail((failure), (folder)->error, (folder)->error_size, __VA_ARGS__)) \
         : (void)0)

/* ---- files --------------------------------------------------------------------------------------------------------- */

bool folder_is(const char *path) {
    struct stat state;
    return stat(path, &state) == 0 && S_ISDIR(state.st_mode);
}

static bool has_file(const char *folder, const char *name) {
    char path[PATH_SIZE];
    struct stat state;
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && stat(path, &state) == 0;
}

static enum engine_status list_single(char **files, size_t *count, char *error, size_t error_size) {
    static const char names[] = "config.json\0model.safetensors";
    *files = malloc(sizeof names);
    if (!*files) return engine_fail_memory(error, error_size);
    memcpy(*files, names, sizeof names);
    *count = 2;
    return ENGINE_OK;
}

/* config.json goes where its name belongs among the files of the index. */
static enum engine_status list_sharded(const char *path, char **files, size_t *count, char *error, size_t error_size) {
    char index[PATH_SIZE];
    char *shards = NULL;
    size_t shard_count = 0, size = 0;
    if (snprintf(index, sizeof index, "%s/model.safetensors.index.json", path) >= (int)sizeof index)
        return engine_fail(ENGINE_INVALID, error, error_size, "the path of the model is too long");
    enum engine_status status = config_read_index(index, &shards, &shard_count, error, error_size);
    if (status != ENGINE_OK) return status;
    for (size_t i = 0; i < shard_count; i++) size += strlen(shards + size) + 1;
    char *all = malloc(size + sizeof "config.json"), *to = all;
    if (!all) {
        free(shards);
        return engine_fail_memory(error, error_size);
    }
    bool placed = false;
    const char *at = shards;
    for (size_t i = 0; i < shard_count; i++, at += strlen(at) + 1) {
        if (!placed && strcmp("config.json", at) < 0) {
            to = stpcpy(to, "config.json") + 1;
            placed = true;
        }
        to = stpcpy(to, at) + 1;
    }
    if (!placed) stpcpy(to, "config.json");
    free(shards);
    *files = all;
    *count = shard_count + 1;
    return ENGINE_OK;
}

enum engine_status folder_files(const char *path, char **files, size_t *count, char *error, size_t error_size) {
    if (!has_file(path, "config.json"))
        return engine_fail(ENGINE_INVALID, error, error_size, "%s holds no model: it has no config.json", path);
    if (has_file(path, "model.safetensors")) return list_single(files, count, error, error_size);
    if (has_file(path, "model.safetensors.index.json")) return list_sharded(path, files, count, error, error_size);
    if (has_file(path, "pytorch_model.bin") || has_file(path, "pytorch_model.bin.index.json"))
        return engine_fail(ENGINE_UNSUPPORTED, error, error_size,
                           "the weights are in pytorch_model.bin, a format that runs code when it is read; convert it once, inside the "
                           "folder: python3 -c \"from transformers import AutoModel; "
                           "AutoModel.from_pretrained('.').save_pretrained('.')\"");
    return engine_fail(ENGINE_NOT_FOUND, error, error_size, "%s has no weights: neither model.safetensors nor its index", path);
}

static void open_file(struct folder *folder, const char *path, const char *name) {
    struct model *model = folder->model;
    char file[PATH_SIZE];
    if (folder->status != ENGINE_OK) return;
    if (snprintf(file, sizeof file, "%s/%s", path, name) >= (int)sizeof file) {
        FOLDER_FAIL(folder, ENGINE_INVALID, "the path of the model is too long");
        return;
    }
    struct mapping *mapping = NULL;
    folder->status = mapping_open(file, &mapping, folder->error, folder->error_size);
    if (folder->status != ENGINE_OK) return;
    model->mapping[model->mappings] = mapping;
    folder->status = safetensors_open(mapping_data(mapping), mapping_size(mapping), &folder->file[model->mappings], folder->error,
                                      folder->error_size);
    model->mappings++;
    model->info.bytes += mapping_size(mapping);
}

static struct named_tensor as_named(const struct safetensors_tensor *found) {
    static const struct { const char *dtype; enum tensor_type type; } types[] = {
        {"F32", TENSOR_F32}, {"F16", TENSOR_F16}, {"BF16", TENSOR_BF16},
    };
    struct named_tensor tensor = {.name = found->name, .name_size = found->name_size, .dtype = found->dtype, .data = found->data,
                                  .bytes = found->bytes, .dimensions = found->dimensions};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(found->dtype, types[i].dtype) == 0) {
            tensor.readable = true;
            tensor.type = types[i].type;
        }
    _Static_assert(sizeof tensor.shape == sizeof found->shape, "as many dimensions");
    memcpy(tensor.shape, found->shape, sizeof found->shape);
    return tensor;
}

static void merge_files(struct folder *folder) {
    size_t total = 0;
    for (size_t f = 0; f < folder->model->mappings && folder->status == ENGINE_OK; f++) {
        size_t count;
        safetensors_tensors(folder->file[f], &count);
        total += count;
    }
    if (folder->status != ENGINE_OK) return;
    folder->tensors.list = calloc(total + 1, sizeof *folder->tensors.list);
    if (!folder->tensors.list) {
        folder->status = engine_fail_memory(folder->error, folder->error_size);
        return;
    }
    for (size_t f = 0; f < folder->model->mappings; f++) {
        size_t count;
        const struct safetensors_tensor *tensors = safetensors_tensors(folder->file[f], &count);
        for (size_t i = 0; i < count; i++) folder->tensors.list[folder->tensors.count++] = as_named(&tensors[i]);
    }
    folder->status = named_tensors_sort(&folder->tensors, folder->error, folder->error_size);
}

static void open_files(struct folder *folder, const char *path, const char *files, size_t count) {
    folder->model->mapping = calloc(count, sizeof *folder->model->mapping);
    folder->file = calloc(count, sizeof *folder->file);
    if (!folder->model->mapping || !folder->file) {
        folder->status = engine_fail_memory(folder->error, folder->error_size);
        return;
    }
    for (size_t i = 0; i < count; i++, files += strlen(files) + 1)
        if (strcmp(files, "config.json") != 0) open_file(folder, path, files);
    merge_files(folder);
}

/* ---- what is left over ---------------------------------------------------------------------------------------------- */

static bool starts_with(const char *name, size_t size, const char *start) {
    return size >= strlen(start) && memcmp(name, start, strlen(start)) == 0;
}

static bool ends_with(const char *name, size_t size, const char *end) {
    return size >= strlen(end) && memcmp(name + size - strlen(end), end, strlen(end)) == 0;
}

/* Tensors that no attention weight depends on: what follows the last layer, and buffers that older files kept. */
static bool needless(const struct folder *folder, const char *name, size_t size) {
    static const char *const starts[] = {"lm_head", "pooler.", "cls.", "score.", "classifier", "qa_outputs", "embed_out.", "norm.", "ln_f.",
                                         "final_layer_norm.", "final_layernorm.", "final_norm.", "project_out.", "vocab_", "head.",
                                         "decoder.weight", "decoder.bias", "discriminator_predictions", "generator_", "predictions.",
                                         "sop_classifier", "pre_classifier", "dense.", "logit_scale", "final_logits_bias", "decoder.final_layer_norm.",
                                         "decoder.layer_norm.", "shared."};
    static const char *const ends[] = {"rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias",
                                       "embeddings.position_ids", "attn.embed_positions"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_with(name, size, ends[i])) return true;
    size_t prefix = strlen(folder->tensors.prefix);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (starts_with(name, size, starts[i])) return true;
        if (starts_with(name, size, folder->tensors.prefix) && starts_with(name + prefix, size - prefix, starts[i])) return true;
    }
    return false;
}

/* A tensor that the forward pass would not use changes the numbers that it should give. */
static void check_unused(struct folder *folder) {
    for (size_t i = 0; i < folder->tensors.count && folder->status == ENGINE_OK; i++) {
        const struct named_tensor *tensor = &folder->tensors.list[i];
        if (!tensor->used && !needless(folder, tensor->name, tensor->name_size))
            FOLDER_FAIL(folder, ENGINE_UNSUPPORTED, "the model has the tensor %.*s, which is not supported", (int)tensor->name_size,
                        tensor->name);
    }
}

/* A flag that says otherwise than the weights: transformers would leave out the biases that are there, or make up those that are
 * not. */
static void check_claim(struct folder *folder, const struct bias_claim *claim, bool any, bool all, int layer) {
    if (claim->key && (claim->has ? !all : any))
        FOLDER_FAIL(folder, ENGINE_BROKEN, "config.json says that layers have %s biases (%s), and layer %d has %s: they do not belong together",
                    claim->has ? "their" : "no", claim->key, layer, any ? "some" : "none");
}

static void check_claims(struct folder *folder, const struct config_claims *claims) {
    const struct model_config *c = &folder->model->config;
    for (int i = 0; i < c->layers && folder->status == ENGINE_OK; i++) {
        const struct layer_weights *w = &folder->model->layer[i];
        bool q = w->q_bias.data != NULL, k = w->k_bias.data != NULL, v = w->v_bias.data != NULL, up = w->up_bias.data != NULL,
             down = w->down_bias.data != NULL;
        check_claim(folder, &claims->attention, q || k || v || w->o_bias.data, q && k && v, i);
        if (c->experts == 0) check_claim(folder, &claims->feed_forward, up || down || w->gate_bias.data, up && down, i);
    }
}

static void find_prefix(struct folder *folder) {
    static const char *const prefixes[] = {"", "model.", "transformer.", "model.decoder.", "decoder.", "bert.", "deberta.", "roberta.", "distilbert.",
                                           "electra.", "albert.", "mpnet.", "gpt_neox."};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0] && folder->status == ENGINE_OK; i++) {
        for (const char *part = folder->family->names.embedding; *part;) { /* "a|b": either */
            char name[NAME_SIZE];
            size_t size = strcspn(part, "|");
            snprintf(name, sizeof name, "%s%.*s.weight", prefixes[i], (int)size, part);
            if (named_tensors_find(&folder->tensors, name)) {
                folder->tensors.prefix = prefixes[i];
                return;
            }
            part += size + (part[size] == '|');
        }
    }
    FOLDER_FAIL(folder, ENGINE_BROKEN, "the model's files lack the tensor %s.weight; fetch them again", folder->family->names.embedding);
}

static const char *most_used_type(const struct folder *folder) {
    static const char *const types[] = {"F32", "F16", "BF16"};
    size_t bytes[3] = {0}, most = 0;
    for (size_t i = 0; i < folder->tensors.count; i++)
        for (size_t t = 0; t < 3; t++)
            if (strcmp(folder->tensors.list[i].dtype, types[t]) == 0) bytes[t] += folder->tensors.list[i].bytes;
    for (size_t t = 1; t < 3; t++)
        if (bytes[t] > bytes[most]) most = t;
    return types[most];
}

enum engine_status folder_read(const char *path, struct model *model, char *error, size_t error_size) {
    struct folder folder = {.model = model, .tensors.prefix = "", .status = ENGINE_OK, .error = error, .error_size = error_size};
    struct config_claims claims = {0};
    char config[PATH_SIZE];
    char *files = NULL;
    size_t count = 0;
    if (snprintf(config, sizeof config, "%s/config.json", path) >= (int)sizeof config)
        return engine_fail(ENGINE_INVALID, error, error_size, "the path of the model is too long");
    folder.status = folder_files(path, &files, &count, error, error_size);
    if (folder.status == ENGINE_OK) folder.status = config_read(config, model, &folder.family, &claims, error, error_size);
    if (folder.status == ENGINE_OK) open_files(&folder, path, files, count);
    if (folder.status == ENGINE_OK) find_prefix(&folder);
    if (folder.status == ENGINE_OK)
        folder.status = family_weights_read(folder.family, &folder.tensors, model, error, error_size);
    check_unused(&folder);
    check_claims(&folder, &claims);
    if (folder.status == ENGINE_OK) {
        model->info.architecture = folder.family->type;
        model->info.format = "safetensors";
        model->info.dtype = most_used_type(&folder);
    }
    for (size_t f = 0; folder.file && f < model->mappings; f++) safetensors_close(folder.file[f]);
    free(folder.file);
    free(folder.tensors.list);
    free(files);
    return folder.status;
}
