#include "server/model_file.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), tail = strlen(end);
    return length > tail && strcasecmp(name + length - tail, end) == 0;
}

/* Whatever the engine may look at in a folder. */
static bool is_part(const char *name) {
    static const char *const ends[] = {".json", ".safetensors", ".jinja", ".md"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (name[0] != '.' && ends_with(name, ends[i])) return true;
    return false;
}

static uint64_t mix(uint64_t hash, uint64_t value) { /* FNV-1a, eight bytes at a time */
    return (hash ^ value) * 1099511628211u;
}

/* A folder is what its files are: their sizes together, their latest change, and all their places and changes mixed. */
static bool identity_of_folder(const char *path, struct model_identity *identity) {
    struct stat s;
    bool has_config = false;
    DIR *open = opendir(path);
    *identity = (struct model_identity){0};
    if (!open) return false;
    for (struct dirent *item; (item = readdir(open));) {
        if (!is_part(item->d_name)) continue;
        if (fstatat(dirfd(open), item->d_name, &s, 0) != 0 || !S_ISREG(s.st_mode)) continue;
        int64_t modified = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
        uint64_t one = mix(mix(mix(14695981039346656037u, (uint64_t)s.st_ino), (uint64_t)s.st_size), (uint64_t)modified);
        for (const char *c = item->d_name; *c; c++) one = mix(one, (unsigned char)*c);
        has_config = has_config || strcmp(item->d_name, "config.json") == 0;
        identity->size += (uint64_t)s.st_size;
        identity->inode ^= one >> 1; /* in whatever order they come; SQLite's integers are signed */
        identity->device = (uint64_t)s.st_dev;
        if (modified > identity->modified_ns) identity->modified_ns = modified;
    }
    closedir(open);
    if (!has_config) *identity = (struct model_identity){0};
    return has_config;
}

/* "NAME-00002-of-00003.gguf" is the second part of three. */
static bool is_split(const char *path, unsigned *part, unsigned *parts) {
    enum { TAIL = sizeof "-00001-of-00003.gguf" - 1 };
    size_t length = strlen(path);
    int end = 0;
    unsigned number, of;
    if (length <= TAIL || sscanf(path + length - TAIL, "-%5u-of-%5u.gguf%n", &number, &of, &end) != 2 || end != TAIL) return false;
    *part = number;
    *parts = of;
    return number > 0 && number <= of;
}

/* The other parts of a model that is split: what they are is part of what the model is. */
static void mix_parts(const char *path, unsigned parts, struct model_identity *identity) {
    enum { NUMBER = sizeof "00001-of-00003.gguf" - 1 };
    char *name = strdup(path);
    for (unsigned i = 2; name && i <= parts && i < 100000; i++) {
        char digits[16];
        struct stat s;
        snprintf(digits, sizeof digits, "%05u", i);
        memcpy(name + strlen(name) - NUMBER, digits, 5);
        if (stat(name, &s) != 0) continue;
        int64_t modified = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
        identity->inode ^= mix(mix(mix(14695981039346656037u, (uint64_t)s.st_ino), (uint64_t)s.st_size), (uint64_t)modified) >> 1;
        identity->size += (uint64_t)s.st_size;
        if (modified > identity->modified_ns) identity->modified_ns = modified;
    }
    free(name);
}

bool model_identity_of(const char *path, struct model_identity *identity) {
    struct stat s;
    if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) return identity_of_folder(path, identity);
    if (stat(path, &s) != 0 || !S_ISREG(s.st_mode)) {
        *identity = (struct model_identity){0};
        return false;
    }
    *identity = (struct model_identity){
        .size = (uint64_t)s.st_size,
        .inode = (uint64_t)s.st_ino,
        .device = (uint64_t)s.st_dev,
        .modified_ns = (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec,
    };
    unsigned part, parts;
    if (is_split(path, &part, &parts) && part == 1) mix_parts(path, parts, identity);
    return true;
}

bool model_identity_equal(const struct model_identity *a, const struct model_identity *b) {
    return a->size == b->size && a->inode == b->inode && a->device == b->device && a->modified_ns == b->modified_ns;
}

bool model_file_is_gguf(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcasecmp(path + length - 5, ".gguf") == 0;
}

static int model_file_compare(const void *a, const void *b) {
    const struct model_file *one = a, *other = b;
    int by_path = strcmp(one->path, other->path);
    return by_path ? by_path : strcmp(one->id, other->id);
}

bool model_files_add(struct model_files *files, const char *path, const char *name) {
    struct model_file file = {0};
    if (!model_identity_of(path, &file.identity)) return true; /* no model's folder, or gone again */
    struct model_file *grown = realloc(files->items, (files->count + 1) * sizeof *grown);
    if (!grown) return false;
    files->items = grown;
    file.path = strdup(path);
    file.id = model_file_id(name);
    if (!file.path || !file.id) {
        free(file.path);
        free(file.id);
        return false;
    }
    grown[files->count++] = file;
    return true;
}

void model_files_sort(struct model_files *files, size_t from) {
    if (files->count > from + 1) qsort(files->items + from, files->count - from, sizeof *files->items, model_file_compare);
}

void model_files_clear(struct model_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].path);
        free(files->items[i].id);
    }
    free(files->items);
    *files = (struct model_files){0};
}

static bool is_folder(DIR *open, const struct dirent *item) {
    struct stat s;
    return fstatat(dirfd(open), item->d_name, &s, 0) == 0 && S_ISDIR(s.st_mode);
}

bool model_files_of_folder(const char *folder, struct model_files *files) {
    size_t from = files->count;
    DIR *open = opendir(folder);
    if (!open) return true;
    bool fine = true;
    struct dirent *item;
    while (fine && (item = readdir(open))) {
        char *path;
        unsigned part = 1, parts;
        if (item->d_name[0] == '.' || !(model_file_is_gguf(item->d_name) || is_folder(open, item))) continue;
        if (is_split(item->d_name, &part, &parts) && part > 1) continue; /* the first stands for all */
        fine = asprintf(&path, "%s/%s", folder, item->d_name) >= 0;
        if (!fine) break;
        fine = model_files_add(files, path, item->d_name);
        free(path);
    }
    closedir(open);
    model_files_sort(files, from);
    return fine;
}

/* "q4_1", "q4_k_m", "iq2_xxs", "f16", "bf16", "fp32", "tq1_0", "mxfp4": how precise, not what. */
static bool model_is_quantisation(const char *mark) {
    static const char *const plain[] = {"f16", "f32", "f64", "bf16", "fp16", "fp32", "mxfp4", "i8"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(mark, plain[i]) == 0) return true;
    if (*mark == 'i' || *mark == 't') mark++;
    if (*mark++ != 'q' || !isdigit((unsigned char)*mark)) return false;
    while (isdigit((unsigned char)*mark)) mark++;
    while (*mark == '_') { /* "_1", "_k", "_m", "_xxs", "_nl" */
        size_t length = strspn(mark + 1, "0123456789klmnsx");
        if (length == 0 || length > 3) return false;
        mark += 1 + length;
    }
    return *mark == '\0';
}

char *model_file_id(const char *path) {
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/') end--; /* a folder may be named with one behind it */
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    char *id = strndup(path + start, end - start);
    if (!id) return NULL;
    unsigned part, parts;
    if (is_split(id, &part, &parts)) id[strlen(id) - (sizeof "-00001-of-00003.gguf" - 1)] = '\0';
    else if (model_file_is_gguf(id)) id[strlen(id) - 5] = '\0';
    for (char *c = id; *c; c++) {
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        else if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr("._-", *c))) *c = '-';
    }
    for (char *c = id; *c; c++) {
        if (c > id && strchr(".-_", *c) && model_is_quantisation(c + 1)) {
            *c = '\0';
            break;
        }
    }
    return id;
}
