/*
 * scan.h: walks through JSON text where it lies, for documents too large to be held as a tree. Checks structure and strings as it
 * goes; what it passes over it checks only for balance. Nothing is allocated.
 */
#ifndef HEADSCOPE_ENGINE_SCAN_H
#define HEADSCOPE_ENGINE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Valid UTF-8. Every function leaves false behind for good once the text is no JSON: `broken`. */
struct scan {
    const char *at, *end;
    bool broken;
};

/* Steps into an object or array. */
bool scan_enter(struct scan *scan, char open);
/* Whether another member follows; steps over the comma, or past `close`. *first starts as true. */
bool scan_more(struct scan *scan, char close, bool *first);

/* Decodes a string; *size may not exceed `room`. A lone surrogate is broken. */
bool scan_string(struct scan *scan, char *text, size_t room, size_t *size);
/* An object's next key, its ':' included. */
bool scan_key(struct scan *scan, char *text, size_t room, size_t *size);
/* A whole number from 0 to UINT32_MAX - 1. */
bool scan_integer(struct scan *scan, uint32_t *number);
bool scan_number(struct scan *scan, double *number);

/* Passes over a value of any kind, nested at most 64 deep, and says where it lies. */
bool scan_value(struct scan *scan, struct scan *value);

bool scan_is(struct scan *scan, char first); /* whether the next value starts so */
bool scan_at_end(struct scan *scan);

#endif
