/*
 * chat.h: how models want chats written. Model files describe it by a program (a Jinja template); no program of a file is run
 * here. Templates are known by the SHA-256 of their text, and what they write is data: marks around each message, and a
 * few habits. tests/golden/make_chats.py holds every template in the list against Jinja itself.
 */
#ifndef HEADSCOPE_ENGINE_CHAT_H
#define HEADSCOPE_ENGINE_CHAT_H

#include "engine/engine.h"

struct chat_marks {
    const char *before, *after; /* "{bos}" and "{eos}" stand for the model's own tokens. before NULL: no such messages */
};

enum chat_trim {
    TRIM_NONE,
    TRIM_CONTENT, /* white space off both ends of a content */
    TRIM_WHOLE,   /* the same, off a system message and the user's text that it stands in together */
};

/* The system message comes first in a chat. Where it is written: */
enum chat_place { SYSTEM_APART, SYSTEM_IN_FIRST, SYSTEM_IN_LAST /* of the user's messages */ };

struct chat_format {
    const char *name;
    const char *start;               /* before all; NULL: nothing, as for all texts below */
    struct chat_marks marks[CHAT_ROLES];
    enum chat_place system;
    const char *default_system;      /* content of a system message where none is given; NULL: then there is none */
    const char *answer;              /* what an answer starts with */
    const char *end;                 /* behind all that does not end with the start of an answer */
    const char *end_of_answer;       /* the same, where the last message is the assistant's */
    const char *last_answer;         /* replaces what stands before the last message, the assistant's: a model that thinks */
    bool start_needs_question;       /* no `start` where the assistant begins */
    enum chat_trim trim;
    bool alternates;                 /* user and assistant take turns, the user first */
    bool open_end;                   /* the last message lacks its mark, unless an answer is to follow */
    bool answers_users;              /* the start of an answer follows only messages of the user */
};

/* The format of a template, by its text (one newline at its end is no part of it); NULL: not known. */
const struct chat_format *chat_find(const char *text, size_t size, char digest[65]);
/* The same by the digest. */
const struct chat_format *chat_find_digest(const char *digest);

/* The digests that are known; NULL behind the last. */
const char *chat_digest(size_t i);

/* As model_chat. `bos`, `eos`: how the model's tokens are spelt; NULL: it has none. */
enum engine_status chat_write(const struct chat_format *format, const char *bos, const char *eos,
                              const struct chat_message *messages, size_t count, bool answer, struct chat_text *chat, char *error,
                              size_t error_size);

/* What a model knows of chats. */
struct chat {
    const struct chat_format *format; /* NULL: not known */
    char *bos, *eos;                  /* owned; may be NULL */
    char *why;                        /* why there is no format, one sentence; owned; NULL: the model has no template */
};

void chat_finish(struct chat *chat);

/* Sets format or why from a template's text. False without memory. */
bool chat_set_template(struct chat *chat, const char *text, size_t size);

#endif
