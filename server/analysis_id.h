/*
 * analysis_id.h: the id of an analysis: a SHA-256 over everything that decides its numbers and its lines. Equal ids, equal work.
 */
#ifndef HEADSCOPE_SERVER_ANALYSIS_ID_H
#define HEADSCOPE_SERVER_ANALYSIS_ID_H

#include <stdbool.h>

#include "server/prepare.h"

/* From the request and what prepare.c has found: model, tokens, ids, excluded keys. Lower-case hex with its NUL. */
void analysis_id_make(const struct prepared *prepared, const struct analysis_request *request, char id[65]);
/* 64 lower-case hex digits? */
bool analysis_id_is(const char *id);

#endif
