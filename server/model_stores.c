#include "server/model_stores.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/json_manifest.h"

enum { MANIFEST_BYTES_MAX = 1 << 20, REVISION_BYTES_MAX = 64 };

/* Calls `visit` with each name in a folder, hidden ones left out. A folder that cannot be opened has none. False: `visit` said so. */
static bool each_name(const char *folder, bool (*visit)(void *context, const char *folder, const char *name), void *context) {
    DIR *open = opendir(folder);
    bool fine = true;
    if (!open) return true;
    for (struct dirent *item; fine && (item = readdir(open));)
        if (item->d_name[0] != '.') fine = visit(context, folder, item->d_name);
    closedir(open);
    return fine;
}

/* A small regular file, as a string; *text is NULL where there is none. False: out of memory. */
static bool read_small(const char *path, size_t most, char **text) {
    struct stat s;
    *text = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return true;
    if (fstat(file, &s) != 0 || !S_ISREG(s.st_mode) || (uint64_t)s.st_size > most) {
        close(file);
        return true;
    }
    char *bytes = malloc((size_t)s.st_size + 1);
    size_t size = 0;
    for (ssize_t got; bytes && size < (size_t)s.st_size; size += (size_t)got) {
        got = read(file, bytes + size, (size_t)s.st_size - size);
        if (got < 0 && errno == EINTR) got = 0;
        else if (got <= 0) break;
    }
    close(file);
    if (!bytes) return false;
    bytes[size] = '\0';
    *text = bytes;
    return true;
}

/* ---- Hugging Face's hub cache ------------------------------------------------------------------------------------ */

struct latest {
    char *name;
    struct timespec modified;
};

static bool latest_snapshot(void *context, const char *folder, const char *name) {
    struct latest *latest = context;
    struct stat s;
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return false;
    bool newer = stat(path, &s) == 0 && S_ISDIR(s.st_mode) &&
                 (!latest->name || s.st_mtim.tv_sec > latest->modified.tv_sec ||
                  (s.st_mtim.tv_sec == latest->modified.tv_sec && s.st_mtim.tv_nsec > latest->modified.tv_nsec));
    free(path);
    if (!newer) return true;
    free(latest->name);
    latest->name = strdup(name);
    latest->modified = s.st_mtim;
    return latest->name;
}

/* The snapshot that is the repository's main branch. *snapshot NULL: none has been fetched. */
static bool main_snapshot(const char *repository, char **snapshot) {
    struct latest latest = {0};
    char *path, *revision;
    *snapshot = NULL;
    if (asprintf(&path, "%s/refs/main", repository) < 0) return false;
    bool fine = read_small(path, REVISION_BYTES_MAX, &revision);
    free(path);
    if (!fine) return false;
    if (revision) revision[strspn(revision, "0123456789abcdef")] = '\0'; /* a name from a file must not lead elsewhere */
    if (revision && *revision && asprintf(snapshot, "%s/snapshots/%s", repository, revision) < 0) *snapshot = NULL, fine = false;
    free(revision);
    if (!fine || (*snapshot && access(*snapshot, R_OK) == 0)) return fine;
    free(*snapshot);
    *snapshot = NULL;
    if (asprintf(&path, "%s/snapshots", repository) < 0) return false;
    fine = each_name(path, latest_snapshot, &latest);
    if (fine && latest.name && asprintf(snapshot, "%s/%s", path, latest.name) < 0) *snapshot = NULL, fine = false;
    free(latest.name);
    free(path);
    return fine;
}

static bool add_gguf(void *context, const char *folder, const char *name) {
    struct model_files *files = context;
    char *path;
    if (!model_file_is_gguf(name)) return true;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return false;
    bool fine = model_files_add(files, path, name);
    free(path);
    return fine;
}

/* "models--ORG--NAME" or, of the early days, "models--NAME". */
static bool add_repository(void *context, const char *folder, const char *name) {
    static const char prefix[] = "models--";
    struct model_files *files = context;
    struct model_identity identity;
    char *repository, *snapshot;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return true;
    const char *organisation = name + sizeof prefix - 1, *dashes = strstr(organisation, "--");
    if (asprintf(&repository, "%s/%s", folder, name) < 0) return false;
    bool fine = main_snapshot(repository, &snapshot);
    if (fine && snapshot)
        fine = model_identity_of(snapshot, &identity) ? model_files_add(files, snapshot, dashes ? dashes + 2 : organisation)
                                                      : each_name(snapshot, add_gguf, files);
    free(snapshot);
    free(repository);
    return fine;
}

/* ---- Ollama ------------------------------------------------------------------------------------------------------ */

struct ollama {
    struct model_files *files;
    const char *models;
    const char *name; /* of the model whose tags are being visited */
    int depth;
};

static bool add_manifest(struct ollama *ollama, const char *path, const char *tag) {
    struct manifest manifest;
    char *text, *name = NULL, *blob = NULL;
    if (!read_small(path, MANIFEST_BYTES_MAX, &text)) return false;
    if (!text) return true;
    bool is = json_manifest_read(text, &manifest), fine = true;
    free(text);
    if (!is) return true; /* of something else, or being written */
    bool latest = strcmp(tag, "latest") == 0;
    fine = asprintf(&name, "%s%s%s", ollama->name, latest ? "" : "-", latest ? "" : tag) >= 0;
    if (!fine) return false;
    fine = asprintf(&blob, "%s/blobs/sha256-%s", ollama->models, manifest.model) >= 0;
    if (fine) {
        fine = model_files_add(ollama->files, blob, name);
        struct model_file *added = ollama->files->count ? &ollama->files->items[ollama->files->count - 1] : NULL;
        if (fine && manifest.adapter && added && strcmp(added->path, blob) == 0)
            added->error = "it is a model with an adapter (LoRA) on top, whose weights are not the ones that run; merge the adapter "
                           "into the model first";
        free(blob);
    }
    free(name);
    return fine;
}

static bool visit_ollama(void *context, const char *folder, const char *name) {
    enum { HOST, SPACE, NAME, TAG };
    const struct ollama *above = context;
    struct ollama ollama = {above->files, above->models, above->depth == NAME ? name : above->name, above->depth + 1};
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return false;
    bool fine = above->depth == TAG ? add_manifest(&ollama, path, name) : each_name(path, visit_ollama, &ollama);
    free(path);
    return fine;
}

static bool find_ollama(const char *models, struct model_files *files) {
    struct ollama ollama = {files, models, NULL, 0};
    char *manifests;
    if (asprintf(&manifests, "%s/manifests", models) < 0) return false;
    bool fine = each_name(manifests, visit_ollama, &ollama);
    free(manifests);
    return fine;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static bool mark(struct model_files *files, size_t from, enum model_source source, bool fine) {
    for (size_t i = from; i < files->count; i++) files->items[i].source = source;
    model_files_sort(files, from);
    return fine;
}

bool model_stores_find(const struct model_stores *stores, struct model_files *files) {
    size_t from = files->count;
    if (stores->hub && !mark(files, from, MODEL_SOURCE_HUB, each_name(stores->hub, add_repository, files))) return false;
    from = files->count;
    if (stores->llama_cache && !mark(files, from, MODEL_SOURCE_LLAMA_CPP, each_name(stores->llama_cache, add_gguf, files)))
        return false;
    for (int i = 0; i < OLLAMA_STORES_MAX; i++) {
        from = files->count;
        if (stores->ollama[i] && !mark(files, from, MODEL_SOURCE_OLLAMA, find_ollama(stores->ollama[i], files))) return false;
    }
    return true;
}
