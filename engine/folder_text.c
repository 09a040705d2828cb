#include "engine/folder_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/failure.h"
#include "engine/json_chat.h"
#include "engine/mapping.h"
#include "engine/tokenizer_json.h"

enum { PATH_SIZE = 4096, FRONT_MATTER_MAX = 1 << 16 };

static bool path_of(const char *folder, const char *name, char path[PATH_SIZE]) {
    struct stat state;
    return snprintf(path, PATH_SIZE, "%s/%s", folder, name) < PATH_SIZE && stat(path, &state) == 0;
}

/* ---- tokenizer.json -------------------------------------------------------------------------------------------------- */

static enum engine_status open_tokenizer(const char *file, struct tokenizer **tokenizer, char *error, size_t error_size) {
    struct mapping *mapping = NULL;
    enum engine_status status = mapping_open(file, &mapping, error, error_size);
    if (status != ENGINE_OK) return status;
    status = tokenizer_open_json((const char *)mapping_data(mapping), mapping_size(mapping), tokenizer, error, error_size);
    if (status != ENGINE_NO_MEMORY && mapping_is_broken(mapping)) {
        if (status == ENGINE_OK) tokenizer_destroy(*tokenizer);
        status = engine_fail(ENGINE_BROKEN, error, error_size, "the tokenizer (tokenizer.json) was changed while it was read");
    }
    mapping_close(mapping);
    return status;
}

enum engine_status folder_read_tokenizer(const char *path, struct model *model, char *error, size_t error_size) {
    char file[PATH_SIZE], why[512] = "";
    struct tokenizer *tokenizer = NULL;
    if (!path_of(path, "tokenizer.json", file)) return ENGINE_OK;
    enum engine_status status = open_tokenizer(file, &tokenizer, why, sizeof why);
    if (status == ENGINE_OK) {
        model->tokenizer = tokenizer;
        return ENGINE_OK;
    }
    if (status != ENGINE_NO_MEMORY && (model->tokenizer_error = strdup(why)) != NULL) return ENGINE_OK;
    return engine_fail_memory(error, error_size);
}

/* ---- chats ----------------------------------------------------------------------------------------------------------- */

static enum engine_status set_template(const char *bytes, size_t size, struct chat *chat, char *error, size_t error_size) {
    return chat_set_template(chat, bytes, size) ? ENGINE_OK : engine_fail_memory(error, error_size);
}

/* What `read` finds in a file of the folder; nothing where there is none, or it cannot be read. */
static enum engine_status read_of_folder(const char *path, const char *name, struct model *model,
                                         enum engine_status (*read)(const char *bytes, size_t size, struct chat *chat, char *error,
                                                                    size_t error_size),
                                         char *error, size_t error_size) {
    char file[PATH_SIZE], ignored[512];
    struct mapping *mapping = NULL;
    if (!path_of(path, name, file)) return ENGINE_OK;
    enum engine_status status = mapping_open(file, &mapping, ignored, sizeof ignored);
    if (status != ENGINE_OK) return status == ENGINE_NO_MEMORY ? engine_fail_memory(error, error_size) : ENGINE_OK;
    status = read((const char *)mapping_data(mapping), mapping_size(mapping), &model->chat, error, error_size);
    mapping_close(mapping);
    return status;
}

enum engine_status folder_read_chat(const char *path, struct model *model, char *error, size_t error_size) {
    enum engine_status status = read_of_folder(path, "chat_template.jinja", model, set_template, error, error_size);
    if (status == ENGINE_OK) status = read_of_folder(path, "tokenizer_config.json", model, json_chat_read, error, error_size);
    return status;
}

/* ---- README.md ------------------------------------------------------------------------------------------------------- */

/* The start of a file, NUL-terminated: what lies in `text`, "" on any failure. */
static void read_start(const char *file, char *text, size_t size) {
    char ignored[256];
    uint64_t whole;
    int descriptor;
    size_t used = 0;
    if (mapping_open_file(file, &descriptor, &whole, ignored, sizeof ignored) == ENGINE_OK) {
        ssize_t got;
        while (used < size - 1 && (got = read(descriptor, text + used, size - 1 - used)) > 0) used += (size_t)got;
        close(descriptor);
    }
    text[used] = '\0';
}

/* The plain value of `key` at the start of a line between the two lines of "---": YAML's simplest form, which model cards use. */
static bool front_matter(const char *text, const char *key, char *value, size_t size) {
    size_t length = strlen(key);
    if (strncmp(text, "---", 3) != 0) return false;
    while ((text = strchr(text, '\n')) != NULL && strncmp(++text, "---", 3) != 0) {
        if (strncmp(text, key, length) != 0 || text[length] != ':') continue;
        const char *from = text + length + 1;
        from += strspn(from, " \t'\"");
        size_t end = strcspn(from, "\r\n");
        while (end > 0 && strchr(" \t'\"", from[end - 1]) != NULL) end--;
        if (end == 0 || end >= size) return false;
        memcpy(value, from, end);
        value[end] = '\0';
        engine_clean_line(value);
        return true;
    }
    return false;
}

enum engine_status folder_read_licence(const char *path, char *licence, size_t size, char *error, size_t error_size) {
    char file[PATH_SIZE];
    licence[0] = '\0';
    if (!path_of(path, "README.md", file)) return ENGINE_OK;
    char *text = malloc(FRONT_MATTER_MAX);
    if (text == NULL) return engine_fail_memory(error, error_size);
    read_start(file, text, FRONT_MATTER_MAX);
    if (front_matter(text, "license", licence, size) && strcmp(licence, "other") == 0)
        front_matter(text, "license_name", licence, size);
    free(text);
    return ENGINE_OK;
}
