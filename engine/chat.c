#include "engine/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/digest.h"
#include "engine/failure.h"
#include "engine/unicode.h"
#include "engine/utf8.h"

/* A chat being written. */
struct writing {
    const struct chat_format *format;
    const char *bos, *eos;
    struct chat_text *chat;
    size_t room;
    bool failed; /* no memory */
};

static const char *const role_names[CHAT_ROLES] = {"system", "user", "assistant"};

/* ---- text ---------------------------------------------------------------------------------------------------------- */

static void put_bytes(struct writing *w, const char *bytes, size_t size) {
    struct chat_text *chat = w->chat;
    if (w->failed || size == 0) return;
    if (size >= w->room - chat->size) {
        size_t room = (chat->size + size + 1) * 2;
        char *grown = room > size ? realloc(chat->text, room) : NULL;
        if (grown == NULL) {
            w->failed = true;
            return;
        }
        chat->text = grown;
        w->room = room;
    }
    memcpy(chat->text + chat->size, bytes, size);
    chat->size += size;
}

static void put_mark(struct writing *w, const char *mark) {
    enum { NAME_SIZE = 5 };
    for (size_t size; mark != NULL && *mark != '\0'; mark += size) {
        bool bos = strncmp(mark, "{bos}", NAME_SIZE) == 0, eos = strncmp(mark, "{eos}", NAME_SIZE) == 0;
        const char *token = bos ? w->bos : eos ? w->eos : NULL;
        size = bos || eos ? NAME_SIZE : 1;
        if (token != NULL) put_bytes(w, token, strlen(token));
        else if (!bos && !eos) put_bytes(w, mark, size);
    }
}

/* What str.strip() of the templates' language takes away: White_Space and four separators of ASCII. */
static bool is_space(uint32_t character) {
    return (character >= 0x1c && character <= 0x1f) || unicode_is(character, CLASS_WHITESPACE);
}

static size_t trimmed_start(const char *text, size_t size) {
    size_t start = 0, length;
    uint32_t character;
    while (start < size && (length = utf8_character(text + start, size - start, &character)) > 0 && is_space(character)) start += length;
    return start;
}

/* Nothing before `least` is taken away. */
static size_t trimmed_end(const char *text, size_t size, size_t least) {
    while (size > least) {
        uint32_t character;
        size_t start = size - 1;
        while (start > least && ((unsigned char)text[start] & 0xc0) == 0x80) start--;
        if (utf8_character(text + start, size - start, &character) == 0 || !is_space(character)) break;
        size = start;
    }
    return size;
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

static struct chat_part *add_part(struct writing *w, enum chat_role role, bool given) {
    struct chat_part *part = &w->chat->parts[w->chat->count++];
    *part = (struct chat_part){.role = role, .given = given, .whole = {w->chat->size, w->chat->size}};
    return part;
}

static void put_content(struct writing *w, struct chat_part *part, const struct chat_message *message, bool trim_start, bool trim_end) {
    size_t start = trim_start ? trimmed_start(message->content, message->size) : 0;
    size_t end = trim_end ? trimmed_end(message->content, message->size, start) : message->size;
    part->content.start = w->chat->size;
    put_bytes(w, message->content + start, end - start);
    part->content.end = w->chat->size;
}

static void put_system(struct writing *w, const struct chat_message *message, bool given) {
    const struct chat_marks *marks = &w->format->marks[CHAT_SYSTEM];
    struct chat_part *part = add_part(w, CHAT_SYSTEM, given);
    bool trim = w->format->trim == TRIM_CONTENT;
    put_mark(w, marks->before);
    put_content(w, part, message, trim, trim);
    put_mark(w, marks->after);
    part->whole.end = w->chat->size;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* White space off the end of what was written since `least`, the parts made shorter accordingly. */
static void trim_written(struct writing *w, size_t least) {
    struct chat_text *chat = w->chat;
    if (w->failed || chat->text == NULL) return;
    chat->size = trimmed_end(chat->text, chat->size, least);
    for (size_t i = 0; i < chat->count; i++) {
        struct chat_part *part = &chat->parts[i];
        size_t *const places[] = {&part->whole.start, &part->whole.end, &part->content.start, &part->content.end};
        for (size_t p = 0; p < 4; p++) *places[p] = smaller(*places[p], chat->size);
    }
}

/* A message of the user with the system's in it: the system's part is the first, and has the mark before both. */
static void put_user_with_system(struct writing *w, const struct chat_message *message, const struct chat_message *system, bool given) {
    const struct chat_marks *marks = w->format->marks;
    struct chat_part *part = add_part(w, CHAT_SYSTEM, given);
    put_mark(w, marks[CHAT_USER].before);
    size_t inner = w->chat->size;
    put_mark(w, marks[CHAT_SYSTEM].before);
    put_content(w, part, system, false, false);
    put_mark(w, marks[CHAT_SYSTEM].after);
    part->whole.end = w->chat->size;
    part = add_part(w, CHAT_USER, true);
    bool trim = w->format->trim == TRIM_CONTENT;
    put_content(w, part, message, trim, trim);
    if (w->format->trim == TRIM_WHOLE) trim_written(w, inner);
}

static void put_message(struct writing *w, const struct chat_message *message, bool last_answer) {
    struct chat_part *part = add_part(w, message->role, true);
    struct chat_message content = *message;
    bool trim = w->format->trim != TRIM_NONE;
    put_mark(w, last_answer ? w->format->last_answer : w->format->marks[message->role].before);
    while (last_answer && content.size > 0 && *content.content == '\n') { /* thoughts end with the empty line of the mark */
        content.content++;
        content.size--;
    }
    put_content(w, part, &content, trim, trim);
}

/* ---- checks -------------------------------------------------------------------------------------------------------- */

static bool holds(const struct chat_message *message, const char *text) {
    return memmem(message->content, message->size, text, strlen(text)) != NULL;
}

/* What templates of models that think take for more than text. */
static bool is_rewritten(const struct chat_message *message) {
    return holds(message, message->role == CHAT_ASSISTANT ? "</think>" : "<tool_response>");
}

static enum engine_status check_message(const struct chat_format *format, const struct chat_message *messages, size_t i, char *error,
                                        size_t error_size) {
    const struct chat_message *message = &messages[i];
    const char *role = role_names[message->role];
    size_t system = messages[0].role == CHAT_SYSTEM;
    if (format->marks[message->role].before == NULL)
        return engine_fail(ENGINE_INVALID, error, error_size, "message %zu: the model's chat format (%s) has no message of the %s; leave it out", i,
                           format->name, role);
    if (message->role == CHAT_SYSTEM && i > 0)
        return engine_fail(ENGINE_INVALID, error, error_size, "message %zu: a system message comes first in a chat", i);
    if (message->role == CHAT_SYSTEM && message->size == 0)
        return engine_fail(ENGINE_INVALID, error, error_size, "message %zu: an empty system message; leave it out", i);
    if (i >= system && format->alternates && (message->role == CHAT_USER) != ((i - system) % 2 == 0))
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "message %zu is of the %s: in the model's chat format (%s) user and assistant take turns, the user first", i,
                           role, format->name);
    if (format->last_answer != NULL && is_rewritten(message))
        return engine_fail(ENGINE_INVALID, error, error_size,
                           "message %zu: the model's chat format (%s) rewrites answers with </think> and questions with <tool_response>; leave them out",
                           i, format->name);
    return ENGINE_OK;
}

static enum engine_status check_messages(const struct chat_format *format, const struct chat_message *messages, size_t count, char *error,
                                         size_t error_size) {
    enum engine_status status = ENGINE_OK;
    bool spoken = false;
    for (size_t i = 0; i < count && status == ENGINE_OK; i++) {
        status = check_message(format, messages, i, error, error_size);
        spoken = spoken || messages[i].role != CHAT_SYSTEM;
    }
    if (status == ENGINE_OK && !spoken)
        status = engine_fail(ENGINE_INVALID, error, error_size, "the chat has no message of a user or an assistant");
    if (status == ENGINE_OK && format->system == SYSTEM_IN_LAST && messages[0].role == CHAT_SYSTEM && messages[count - 1].role != CHAT_USER)
        status = engine_fail(ENGINE_INVALID, error, error_size,
                             "the model's chat format (%s) writes the system message into the last one, which must be the user's", format->name);
    return status;
}

/* ---- a chat -------------------------------------------------------------------------------------------------------- */

/* The answer to the last question, in a format that writes it in its own way. */
static bool is_last_answer(const struct chat_format *format, const struct chat_message *messages, size_t i, size_t count) {
    bool asked = false;
    if (format->last_answer == NULL || i < count - 1 || messages[i].role != CHAT_ASSISTANT) return false;
    for (size_t k = 0; k < i; k++) asked = asked || messages[k].role == CHAT_USER;
    return asked;
}

static void put_end(struct writing *w, enum chat_role last, bool answer) {
    const struct chat_format *format = w->format;
    struct chat_part *part = &w->chat->parts[w->chat->count - 1];
    if (answer && format->answer != NULL && !(format->answers_users && last == CHAT_ASSISTANT)) {
        part = add_part(w, CHAT_ASSISTANT, false);
        put_mark(w, format->answer);
        part->content = (struct byte_range){w->chat->size, w->chat->size};
    } else if (!answer) {
        put_mark(w, format->end);
        if (last == CHAT_ASSISTANT) put_mark(w, format->end_of_answer);
    }
    part->whole.end = w->chat->size;
}

static void put_all(struct writing *w, const struct chat_message *messages, size_t count, bool answer) {
    const struct chat_format *format = w->format;
    bool given = messages[0].role == CHAT_SYSTEM;
    struct chat_message written = {.role = CHAT_SYSTEM, .content = format->default_system};
    if (!given && format->default_system != NULL) written.size = strlen(format->default_system);
    const struct chat_message *system = given ? &messages[0] : format->default_system != NULL ? &written : NULL;
    if (!format->start_needs_question || messages[0].role != CHAT_ASSISTANT) put_mark(w, format->start);
    if (system != NULL && format->system == SYSTEM_APART) put_system(w, system, given);
    for (size_t i = given; i < count; i++) {
        bool last = i == count - 1;
        if (system != NULL && ((format->system == SYSTEM_IN_FIRST && i == given) || (format->system == SYSTEM_IN_LAST && last)))
            put_user_with_system(w, &messages[i], system, given);
        else
            put_message(w, &messages[i], is_last_answer(format, messages, i, count));
        if (!last || answer || !format->open_end) put_mark(w, format->marks[messages[i].role].after);
        w->chat->parts[w->chat->count - 1].whole.end = w->chat->size;
    }
    put_end(w, messages[count - 1].role, answer);
}

enum engine_status chat_write(const struct chat_format *format, const char *bos, const char *eos, const struct chat_message *messages,
                              size_t count, bool answer, struct chat_text *chat, char *error, size_t error_size) {
    if (count == 0) return engine_fail(ENGINE_INVALID, error, error_size, "the chat has no message");
    enum engine_status status = check_messages(format, messages, count, error, error_size);
    if (status != ENGINE_OK) return status;
    struct chat_text made = {0};
    struct writing w = {.format = format, .bos = bos, .eos = eos, .chat = &made};
    made.parts = calloc(count + 2, sizeof *made.parts); /* a system message and the start of an answer beside */
    made.text = malloc(w.room = 256);
    if (made.parts != NULL && made.text != NULL) put_all(&w, messages, count, answer);
    if (made.parts == NULL || made.text == NULL || w.failed) {
        chat_text_finish(&made);
        return engine_fail_memory(error, error_size);
    }
    made.text[made.size] = '\0';
    *chat = made;
    return ENGINE_OK;
}

void chat_text_finish(struct chat_text *chat) {
    free(chat->text);
    free(chat->parts);
    *chat = (struct chat_text){0};
}

/* ---- templates ----------------------------------------------------------------------------------------------------- */

const struct chat_format *chat_find(const char *text, size_t size, char digest[65]) {
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, size > 0 && text[size - 1] == '\n' ? size - 1 : size, (const uint8_t *)text);
    digest_hex(&context, digest);
    return chat_find_digest(digest);
}

void chat_finish(struct chat *chat) {
    free(chat->bos);
    free(chat->eos);
    free(chat->why);
    *chat = (struct chat){0};
}

bool chat_set_template(struct chat *chat, const char *text, size_t size) {
    char digest[65], why[160];
    chat->format = chat_find(text, size, digest);
    if (chat->format != NULL) return true;
    snprintf(why, sizeof why, "its chat template is none of those that are known (its SHA-256 is %s)", digest);
    chat->why = strdup(why);
    return chat->why != NULL;
}
