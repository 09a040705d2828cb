/*
 * model_file.h: model files as the file system shows them: where they are, what they are called, whether one is still the same.
 */
#ifndef HEADSCOPE_SERVER_MODEL_FILE_H
#define HEADSCOPE_SERVER_MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What identifies a file's content without reading it. All zero: no such file. */
struct model_identity {
    uint64_t size, inode, device;
    int64_t modified_ns;
};

/* Where a model was found. */
enum model_source { MODEL_SOURCE_FOLDER, MODEL_SOURCE_NAMED, MODEL_SOURCE_HUB, MODEL_SOURCE_LLAMA_CPP, MODEL_SOURCE_OLLAMA };

struct model_file {
    char *path, *id; /* id: as model_file_id makes it */
    struct model_identity identity;
    enum model_source source;
    const char *error; /* NULL, or why it cannot be used, whatever is in it; static */
};

struct model_files {
    struct model_file *items;
    size_t count;
};

/* Of a regular file, or of a folder with a config.json: of the files in it that a model may be made of. False when there is neither. */
bool model_identity_of(const char *path, struct model_identity *identity);
bool model_identity_equal(const struct model_identity *a, const struct model_identity *b);

/* Adds a file or folder under the id of `name`, if it is one that model_identity_of knows. False: out of memory. */
bool model_files_add(struct model_files *files, const char *path, const char *name);
/* Sorts what stands behind the first `from` by path. */
void model_files_sort(struct model_files *files, size_t from);
void model_files_clear(struct model_files *files);

/* Adds every .gguf in the folder and every folder in it that has a config.json, by path; hidden ones are left out. A folder that is
 * not there holds none. False: out of memory; what was added is still the caller's to clear. */
bool model_files_of_folder(const char *folder, struct model_files *files);

/* "SmolLM2-135M-Instruct.Q4_1.gguf" -> "smollm2-135m-instruct": lower case, without .gguf and without a trailing quantisation
 * mark; what is no letter, digit, '.', '-' or '_' becomes '-'. malloc'ed; NULL: out of memory. */
char *model_file_id(const char *path);
bool model_file_is_gguf(const char *path);

#endif
