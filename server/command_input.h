/*
 * command_input.h: what the commands that read a text share.
 */
#ifndef HEADSCOPE_SERVER_COMMAND_INPUT_H
#define HEADSCOPE_SERVER_COMMAND_INPUT_H

#include "server/json_request.h"
#include "server/models.h"
#include "server/options.h"

/* --text, --file, --messages or standard input, --pair, --target, and everything else as POST /analyses has it by default. False with a problem; the caller clears
 * the request. */
bool command_read_text(const struct options *options, struct analysis_request *request, struct problem *problem);
/* The cache is asked for digests only, when there is one already. Both are freed by command_models_destroy. */
struct command_models {
    struct cache *cache;
    struct models *models;
};
bool command_models_create(const struct options *options, struct log *log, struct command_models *made, struct problem *problem);
void command_models_destroy(struct command_models *made);
/* Says it on stderr; returns the exit status 1. */
int command_fail(const struct problem *problem);

#endif
