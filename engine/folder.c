#include "engine/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/failure.h"
#include "engine/families.h"
#include "engine/json_config.h"
#include "engine/mapping.h"
#include "engine/safetensors.h"

enum { PATH_SIZE = 4096, NAME_SIZE = 512 };

struct entry {
    const struct safetensors_tensor *tensor;
    bool used;
};

/* The first failure sets `status` and writes `error`; what follows does nothing. */
struct folder {
    struct model *model;
    const struct family *family;
    struct safetensors **file; /* [model->mappings] */
    struct entry *entries;     /* of all files, by name */
    size_t count;
    const char *prefix; /* that stands before every name in this file: "model." */
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

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_entries(const void *a, const void *b) {
    const struct safetensors_tensor *x = ((const struct entry *)a)->tensor, *y = ((const struct entry *)b)->tensor;
    return compare_names(x->name, x->name_size, y->name, y->name_size);
}

static void merge_files(struct folder *folder) {
    size_t total = 0;
    for (size_t f = 0; f < folder->model->mappings && folder->status == ENGINE_OK; f++) {
        size_t count;
        safetensors_tensors(folder->file[f], &count);
        total += count;
    }
    if (folder->status != ENGINE_OK) return;
    folder->entries = calloc(total + 1, sizeof *folder->entries);
    if (!folder->entries) {
        folder->status = engine_fail_memory(folder->error, folder->error_size);
        return;
    }
    for (size_t f = 0; f < folder->model->mappings; f++) {
        size_t count;
        const struct safetensors_tensor *tensors = safetensors_tensors(folder->file[f], &count);
        for (size_t i = 0; i < count; i++) folder->entries[folder->count++].tensor = &tensors[i];
    }
    qsort(folder->entries, folder->count, sizeof *folder->entries, compare_entries);
    for (size_t i = 1; i < folder->count; i++)
        if (compare_entries(&folder->entries[i - 1], &folder->entries[i]) == 0)
            FOLDER_FAIL(folder, ENGINE_BROKEN, "two of the model's files have the tensor %.*s",
                        (int)folder->entries[i].tensor->name_size, folder->entries[i].tensor->name);
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

/* ---- finding tensors ------------------------------------------------------------------------------------------------ */

static struct entry *find_entry(struct folder *folder, const char *name) {
    struct safetensors_tensor wanted = {.name = name, .name_size = strlen(name)};
    struct entry key = {.tensor = &wanted};
    return bsearch(&key, folder->entries, folder->count, sizeof key, compare_entries);
}

/* Splits "[a|b]": *optional for the brackets, alternative `index` into part; false if there is none. */
static bool alternative(const char *names, int index, char part[NAME_SIZE], bool *optional) {
    *optional = names[0] == '[';
    const char *from = names + *optional;
    for (; index > 0; index--) {
        from = strchr(from, '|');
        if (!from) return false;
        from++;
    }
    size_t size = strcspn(from, "|]");
    if (size == 0 || size >= NAME_SIZE) return false;
    memcpy(part, from, size);
    part[size] = '\0';
    return true;
}

/* `number`: of the layer or the expert, where the pattern has a %d. */
static void fill_in(char *to, size_t size, const char *pattern, int number) {
    const char *mark = strstr(pattern, "%d");
    if (mark)
        snprintf(to, size, "%.*s%d%s", (int)(mark - pattern), pattern, number, mark + 2);
    else
        snprintf(to, size, "%s", pattern);
}

struct place {
    int layer, expert; /* layer -1: outside the layers */
};

/* The entry of one of `names` with `suffix`, marked as used; NULL if there is none. */
static const struct safetensors_tensor *look_up(struct folder *folder, struct place place, const char *names, const char *suffix) {
    char part[NAME_SIZE], stem[NAME_SIZE], before[NAME_SIZE] = "", name[3 * NAME_SIZE];
    bool optional;
    if (place.layer >= 0) fill_in(before, sizeof before, folder->family->names.layer, place.layer);
    for (int i = 0; alternative(names, i, part, &optional); i++) {
        fill_in(stem, sizeof stem, part, place.expert);
        snprintf(name, sizeof name, "%s%s%s%s", folder->prefix, before, stem, suffix);
        struct entry *entry = find_entry(folder, name);
        if (!entry) continue;
        entry->used = true;
        return entry->tensor;
    }
    return NULL;
}

static void missing(struct folder *folder, struct place place, const char *names) {
    char before[NAME_SIZE] = "", stem[NAME_SIZE];
    if (place.layer >= 0) fill_in(before, sizeof before, folder->family->names.layer, place.layer);
    fill_in(stem, sizeof stem, names, place.expert);
    FOLDER_FAIL(folder, ENGINE_BROKEN, "the model's files lack the tensor %s%s%s; fetch them again", folder->prefix, before, stem);
}

static size_t element_size(enum tensor_type type) {
    return type == TENSOR_F32 ? 4 : 2;
}

/* As it lies in the file: dimensions beyond the first multiplied into columns, a vector in one column. */
static struct tensor as_tensor(struct folder *folder, const struct safetensors_tensor *found) {
    struct tensor tensor = {.data = found->data, .rows = 1, .cols = 1};
    if (strcmp(found->dtype, "F32") == 0)
        tensor.type = TENSOR_F32;
    else if (strcmp(found->dtype, "F16") == 0)
        tensor.type = TENSOR_F16;
    else if (strcmp(found->dtype, "BF16") == 0)
        tensor.type = TENSOR_BF16;
    else
        FOLDER_FAIL(folder, ENGINE_UNSUPPORTED, "tensor %.*s is stored as %s; F32, F16 and BF16 are read", (int)found->name_size,
                    found->name, found->dtype);
    if (found->dimensions > 0) tensor.rows = found->shape[0];
    for (int d = 1; d < found->dimensions; d++) tensor.cols *= found->shape[d]; /* their product has been checked */
    tensor.row_bytes = tensor.cols * element_size(tensor.type);
    return tensor;
}

static void check_shape(struct folder *folder, const struct safetensors_tensor *found, const struct tensor *tensor, size_t rows,
                        size_t cols) {
    if (tensor->rows != rows || tensor->cols != cols || found->dimensions > 2)
        FOLDER_FAIL(folder, ENGINE_BROKEN, "the model's files are damaged: tensor %.*s is %zu x %zu in %d dimensions, %zu x %zu expected",
                    (int)found->name_size, found->name, tensor->rows, tensor->cols, found->dimensions, rows, cols);
}

/* Inputs x outputs in the file becomes outputs x inputs. */
static struct tensor turned(struct tensor tensor) {
    size_t rows = tensor.rows;
    tensor.rows = tensor.cols;
    tensor.cols = rows;
    tensor.transposed = true;
    return tensor;
}

/* Rows first, first + 1, ... of the matrix, or of a vector in one column. */
static struct tensor part_of(struct tensor whole, size_t first, size_t rows) {
    size_t step = whole.transposed ? element_size(whole.type) : whole.row_bytes;
    whole.data = (const unsigned char *)whole.data + first * step;
    whole.rows = rows;
    return whole;
}

static struct tensor grouped(struct tensor part, size_t group, size_t stride) {
    part.group = group;
    part.group_stride = stride;
    return part;
}

/* ---- matrices and vectors ------------------------------------------------------------------------------------------- */

/* names NULL, or an optional tensor that is missing: *weight stays empty. Conv1D: the family's linear layers are transposed. */
static bool read_matrix(struct folder *folder, struct place place, const char *names, bool linear, size_t rows, size_t cols,
                        struct tensor *weight) {
    if (!names || folder->status != ENGINE_OK) return false;
    const struct safetensors_tensor *found = look_up(folder, place, names, ".weight");
    if (!found) {
        if (names[0] != '[') missing(folder, place, names);
        return false;
    }
    struct tensor tensor = as_tensor(folder, found);
    if (linear && folder->family->transposed && found->dimensions == 2) tensor = turned(tensor);
    check_shape(folder, found, &tensor, rows, cols);
    *weight = tensor;
    return folder->status == ENGINE_OK;
}

static void read_vector(struct folder *folder, struct place place, const char *names, const char *suffix, size_t size,
                        struct tensor *vector) {
    if (!names || folder->status != ENGINE_OK) return;
    const struct safetensors_tensor *found = look_up(folder, place, names, suffix);
    if (!found) return;
    struct tensor tensor = as_tensor(folder, found);
    check_shape(folder, found, &tensor, size, 1);
    *vector = tensor;
}

/* A linear layer and its bias, where it has one. */
static void read_linear(struct folder *folder, struct place place, const char *names, size_t rows, size_t cols, struct tensor *weight,
                        struct tensor *bias) {
    if (read_matrix(folder, place, names, true, rows, cols, weight)) read_vector(folder, place, names, ".bias", rows, bias);
}

static void read_norm(struct folder *folder, struct place place, const char *names, size_t size, struct tensor *weight,
                      struct tensor *bias) {
    if (read_matrix(folder, place, names, false, size, 1, weight)) read_vector(folder, place, names, ".bias", size, bias);
}

/* Norms of queries and keys are as wide as a head or as all of them. */
static void read_head_norm(struct folder *folder, struct place place, const char *names, size_t all, struct tensor *weight) {
    if (!names || folder->status != ENGINE_OK) return;
    const struct safetensors_tensor *found = look_up(folder, place, names, ".weight");
    if (!found) {
        missing(folder, place, names);
        return;
    }
    size_t head_dim = (size_t)folder->model->config.head_dim;
    *weight = as_tensor(folder, found);
    check_shape(folder, found, weight, weight->rows == head_dim ? head_dim : all, 1);
}

static void split_qkv(struct folder *folder, const struct tensor *whole, struct tensor *q, struct tensor *k, struct tensor *v) {
    const struct model_config *c = &folder->model->config;
    size_t head_dim = (size_t)c->head_dim, q_rows = (size_t)c->heads * head_dim, kv_rows = (size_t)c->kv_heads * head_dim;
    size_t queries = (size_t)(c->heads / c->kv_heads) * head_dim; /* of one group */
    bool in_groups = folder->family->qkv == QKV_PER_HEAD || (strcmp(folder->family->type, "falcon") == 0 && c->kv_heads > 1);
    if (whole->data == NULL) return;
    if (!in_groups) {
        *q = part_of(*whole, 0, q_rows);
        *k = part_of(*whole, q_rows, kv_rows);
        *v = part_of(*whole, q_rows + kv_rows, kv_rows);
    } else {
        size_t stride = queries + 2 * head_dim;
        *q = grouped(part_of(*whole, 0, q_rows), queries, stride);
        *k = grouped(part_of(*whole, queries, kv_rows), head_dim, stride);
        *v = grouped(part_of(*whole, queries + head_dim, kv_rows), head_dim, stride);
    }
}

static void read_attention(struct folder *folder, struct place place, struct layer_weights *w) {
    const struct model_config *c = &folder->model->config;
    const struct family_names *names = &folder->family->names;
    size_t d_model = (size_t)c->d_model, q = (size_t)c->heads * (size_t)c->head_dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim;
    read_linear(folder, place, names->q, q, d_model, &w->q, &w->q_bias);
    read_linear(folder, place, names->k, kv, d_model, &w->k, &w->k_bias);
    read_linear(folder, place, names->v, kv, d_model, &w->v, &w->v_bias);
    if (names->qkv) {
        struct tensor whole = {0}, bias = {0};
        read_linear(folder, place, names->qkv, q + 2 * kv, d_model, &whole, &bias);
        split_qkv(folder, &whole, &w->q, &w->k, &w->v);
        split_qkv(folder, &bias, &w->q_bias, &w->k_bias, &w->v_bias);
    }
    read_head_norm(folder, place, names->q_norm, q, &w->q_norm);
    read_head_norm(folder, place, names->k_norm, kv, &w->k_norm);
    if (names->sinks) {
        read_vector(folder, place, names->sinks, "", (size_t)c->heads, &w->sinks);
        if (!w->sinks.data) missing(folder, place, names->sinks);
    }
    read_linear(folder, place, names->o, d_model, q, &w->o, &w->o_bias);
}

/* All experts in one tensor [experts, inputs, outputs]; gate and up are its even and odd outputs. */
static void read_joined_experts(struct folder *folder, struct place place, struct layer_weights *w) {
    const struct model_config *c = &folder->model->config;
    const struct family_names *names = &folder->family->names;
    size_t experts = (size_t)c->experts, d_model = (size_t)c->d_model, ff = (size_t)c->expert_ff;
    const struct safetensors_tensor *up = look_up(folder, place, names->experts_gate_up, ""),
                                    *down = look_up(folder, place, names->experts_down, ""),
                                    *up_bias = look_up(folder, place, names->experts_gate_up, "_bias"),
                                    *down_bias = look_up(folder, place, names->experts_down, "_bias");
    if (!up || !down || !up_bias || !down_bias) {
        missing(folder, place, !up || !up_bias ? names->experts_gate_up : names->experts_down);
        return;
    }
    const struct safetensors_tensor *all[] = {up, down, up_bias, down_bias};
    size_t want[4][3] = {{experts, d_model, 2 * ff}, {experts, ff, d_model}, {experts, 2 * ff, 1}, {experts, d_model, 1}};
    for (int i = 0; i < 4; i++)
        if (all[i]->dimensions != (i < 2 ? 3 : 2) || memcmp(all[i]->shape, want[i], (i < 2 ? 3 : 2) * sizeof(size_t)) != 0)
            FOLDER_FAIL(folder, ENGINE_BROKEN, "the model's files are damaged: tensor %.*s has another shape than its experts need",
                        (int)all[i]->name_size, all[i]->name);
    struct tensor t[4];
    for (int i = 0; i < 4; i++) t[i] = as_tensor(folder, all[i]);
    if (folder->status != ENGINE_OK) return;
    for (size_t e = 0; e < experts; e++) {
        struct expert_weights *x = &w->expert[e];
        struct tensor part[4];
        for (int i = 0; i < 4; i++) {
            part[i] = part_of(t[i], e, want[i][1]);
            part[i].cols = want[i][2];
            part[i].row_bytes = want[i][2] * element_size(t[i].type);
        }
        x->gate = grouped(part_of(turned(part[0]), 0, ff), 1, 2);
        x->up = grouped(part_of(turned(part[0]), 1, ff), 1, 2);
        x->gate_bias = grouped(part_of(part[2], 0, ff), 1, 2);
        x->up_bias = grouped(part_of(part[2], 1, ff), 1, 2);
        x->down = turned(part[1]);
        x->down_bias = part[3];
    }
}

static void read_experts(struct folder *folder, struct place place, struct layer_weights *w) {
    const struct model_config *c = &folder->model->config;
    const struct family_names *names = &folder->family->names;
    size_t d_model = (size_t)c->d_model, ff = (size_t)c->expert_ff;
    read_linear(folder, place, names->router, (size_t)c->experts, d_model, &w->router, &w->router_bias);
    w->expert = calloc((size_t)c->experts, sizeof *w->expert);
    if (!w->expert) {
        if (folder->status == ENGINE_OK) folder->status = engine_fail_memory(folder->error, folder->error_size);
        return;
    }
    if (names->experts_gate_up) {
        read_joined_experts(folder, place, w);
        return;
    }
    for (int e = 0; e < c->experts && folder->status == ENGINE_OK; e++) {
        struct expert_weights *x = &w->expert[e];
        place.expert = e;
        read_linear(folder, place, names->expert_gate, ff, d_model, &x->gate, &x->gate_bias);
        read_linear(folder, place, names->expert_up, ff, d_model, &x->up, &x->up_bias);
        read_linear(folder, place, names->expert_down, d_model, ff, &x->down, &x->down_bias);
    }
}

static void read_feed_forward(struct folder *folder, struct place place, struct layer_weights *w) {
    const struct model_config *c = &folder->model->config;
    const struct family_names *names = &folder->family->names;
    size_t d_model = (size_t)c->d_model, ff = (size_t)c->d_ff;
    read_linear(folder, place, names->gate, ff, d_model, &w->gate, &w->gate_bias);
    read_linear(folder, place, names->up, ff, d_model, &w->up, &w->up_bias);
    if (names->gate_up) {
        struct tensor whole = {0}, bias = {0};
        read_linear(folder, place, names->gate_up, 2 * ff, d_model, &whole, &bias);
        if (whole.data) {
            w->gate = part_of(whole, 0, ff);
            w->up = part_of(whole, ff, ff);
        }
        if (bias.data) {
            w->gate_bias = part_of(bias, 0, ff);
            w->up_bias = part_of(bias, ff, ff);
        }
    }
    read_linear(folder, place, names->down, d_model, ff, &w->down, &w->down_bias);
}

static void read_layer(struct folder *folder, int layer) {
    const struct model_config *c = &folder->model->config;
    const struct family_names *names = &folder->family->names;
    struct layer_weights *w = &folder->model->layer[layer];
    struct place place = {.layer = layer};
    size_t d_model = (size_t)c->d_model;
    read_norm(folder, place, names->attention_norm, d_model, &w->attention_norm, &w->attention_norm_bias);
    read_attention(folder, place, w);
    read_norm(folder, place, names->attention_out_norm, d_model, &w->attention_out_norm, &w->attention_out_norm_bias);
    read_norm(folder, place, names->ffn_norm, d_model, &w->ffn_norm, &w->ffn_norm_bias);
    if (c->experts > 0)
        read_experts(folder, place, w);
    else
        read_feed_forward(folder, place, w);
    read_norm(folder, place, names->ffn_out_norm, d_model, &w->ffn_out_norm, &w->ffn_out_norm_bias);
    if (!c->parallel && names->ffn_norm && !w->ffn_norm.data) missing(folder, place, names->ffn_norm);
    if (names->attention_norm && !w->attention_norm.data && layer > 0) missing(folder, place, names->attention_norm);
    if (c->norm_after_residual && !names->attention_out_norm) { /* OPT-350m: the same norms in the other place */
        w->attention_out_norm = w->attention_norm;
        w->attention_out_norm_bias = w->attention_norm_bias;
        w->ffn_out_norm = w->ffn_norm;
        w->ffn_out_norm_bias = w->ffn_norm_bias;
        w->attention_norm = w->attention_norm_bias = w->ffn_norm = w->ffn_norm_bias = (struct tensor){0};
    }
}

static void read_embeddings(struct folder *folder) {
    struct model *model = folder->model;
    struct model_config *c = &model->config;
    const struct family_names *names = &folder->family->names;
    struct place place = {.layer = -1};
    size_t width = (size_t)c->embedding_dim, d_model = (size_t)c->d_model;
    read_matrix(folder, place, names->embedding, false, (size_t)c->vocabulary, width, &model->embedding);
    /* OPT adds its positions behind the projection. */
    size_t positions_width = strcmp(folder->family->type, "opt") == 0 ? d_model : width;
    read_matrix(folder, place, names->positions, false, (size_t)c->context + (size_t)c->position_offset, positions_width,
                &model->positions);
    if (names->token_types) {
        const struct safetensors_tensor *types = look_up(folder, place, names->token_types, ".weight");
        size_t rows = types && types->dimensions == 2 ? types->shape[0] : 0;
        if (types && rows == 0) FOLDER_FAIL(folder, ENGINE_BROKEN, "the model's files are damaged: there are no token types");
        if (types) read_matrix(folder, place, names->token_types, false, rows, width, &model->token_types);
    }
    read_norm(folder, place, names->embedding_norm, width, &model->embedding_norm, &model->embedding_norm_bias);
    if (names->embedding_projection)
        read_linear(folder, place, names->embedding_projection, d_model, width, &model->embedding_projection,
                    &model->embedding_projection_bias);
    if (width != d_model && !model->embedding_projection.data && folder->status == ENGINE_OK)
        FOLDER_FAIL(folder, ENGINE_BROKEN, "embeddings of %zu numbers and a width of %zu need a projection, which the model's files lack", width,
                    d_model);
    read_matrix(folder, place, names->relative_bias, false, (size_t)c->bias_buckets, (size_t)c->heads, &model->relative_bias);
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
                                         "sop_classifier", "pre_classifier", "dense.", "logit_scale"};
    static const char *const ends[] = {"rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias",
                                       "embeddings.position_ids", "attn.embed_positions"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_with(name, size, ends[i])) return true;
    size_t prefix = strlen(folder->prefix);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (starts_with(name, size, starts[i])) return true;
        if (starts_with(name, size, folder->prefix) && starts_with(name + prefix, size - prefix, starts[i])) return true;
    }
    return false;
}

/* A tensor that the forward pass would not use changes the numbers that it should give. */
static void check_unused(struct folder *folder) {
    for (size_t i = 0; i < folder->count && folder->status == ENGINE_OK; i++) {
        const struct safetensors_tensor *tensor = folder->entries[i].tensor;
        if (!folder->entries[i].used && !needless(folder, tensor->name, tensor->name_size))
            FOLDER_FAIL(folder, ENGINE_UNSUPPORTED, "the model has the tensor %.*s, which is not supported", (int)tensor->name_size,
                        tensor->name);
    }
}

static void find_prefix(struct folder *folder) {
    static const char *const prefixes[] = {"", "model.", "transformer.", "model.decoder.", "decoder.", "bert.", "roberta.", "distilbert.",
                                           "electra.", "albert.", "mpnet.", "gpt_neox."};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0] && folder->status == ENGINE_OK; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "%s%s.weight", prefixes[i], folder->family->names.embedding);
        if (!find_entry(folder, name)) continue;
        folder->prefix = prefixes[i];
        return;
    }
    FOLDER_FAIL(folder, ENGINE_BROKEN, "the model's files lack the tensor %s.weight; fetch them again", folder->family->names.embedding);
}

static const char *most_used_type(const struct folder *folder) {
    static const char *const types[] = {"F32", "F16", "BF16"};
    size_t bytes[3] = {0}, most = 0;
    for (size_t i = 0; i < folder->count; i++)
        for (size_t t = 0; t < 3; t++)
            if (strcmp(folder->entries[i].tensor->dtype, types[t]) == 0) bytes[t] += folder->entries[i].tensor->bytes;
    for (size_t t = 1; t < 3; t++)
        if (bytes[t] > bytes[most]) most = t;
    return types[most];
}

enum engine_status folder_read(const char *path, struct model *model, char *error, size_t error_size) {
    struct folder folder = {.model = model, .prefix = "", .status = ENGINE_OK, .error = error, .error_size = error_size};
    char config[PATH_SIZE];
    char *files = NULL;
    size_t count = 0;
    if (snprintf(config, sizeof config, "%s/config.json", path) >= (int)sizeof config)
        return engine_fail(ENGINE_INVALID, error, error_size, "the path of the model is too long");
    folder.status = folder_files(path, &files, &count, error, error_size);
    if (folder.status == ENGINE_OK) folder.status = config_read(config, model, &folder.family, error, error_size);
    if (folder.status == ENGINE_OK) open_files(&folder, path, files, count);
    if (folder.status == ENGINE_OK) find_prefix(&folder);
    if (folder.status == ENGINE_OK) read_embeddings(&folder);
    for (int layer = 0; layer < model->config.layers && folder.status == ENGINE_OK; layer++) read_layer(&folder, layer);
    check_unused(&folder);
    if (folder.status == ENGINE_OK) {
        model->info.architecture = folder.family->type;
        model->info.format = "safetensors";
        model->info.dtype = most_used_type(&folder);
    }
    for (size_t f = 0; folder.file && f < model->mappings; f++) safetensors_close(folder.file[f]);
    free(folder.file);
    free(folder.entries);
    free(files);
    return folder.status;
}
