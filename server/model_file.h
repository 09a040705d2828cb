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

struct model_file {
    char *path;
    struct model_identity identity;
};

/* Of a regular file, or of a folder with a config.json: of the files in it that a model may be made of. False when there is neither. */
bool model_identity_of(const char *path, struct model_identity *identity);
bool model_identity_equal(const struct model_identity *a, const struct model_identity *b);

/* Every .gguf in the folder and every folder in it that has a config.json, by name; hidden files are left out. A folder that is not there holds none. False: out of memory.
 * *files: each path freed, then the array. */
bool model_files_of_folder(const char *folder, struct model_file **files, size_t *count);

/* "SmolLM2-135M-Instruct.Q4_1.gguf" -> "smollm2-135m-instruct": lower case, without .gguf and without a trailing quantisation
 * mark; what is no letter, digit, '.', '-' or '_' becomes '-'. malloc'ed; NULL: out of memory. */
char *model_file_id(const char *path);
bool model_file_is_gguf(const char *path);

#endif
