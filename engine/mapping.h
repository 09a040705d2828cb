/*
 * mapping.h: a regular file, mapped read-only, that may be cut short under our hands.
 *
 * A read behind the end of a mapped file raises SIGBUS and would kill the process. The first mapping_open of a process
 * installs a SIGBUS handler (the engine's only process-wide state, with the list of mappings that it looks faults up in):
 * for an address within one of our mappings it marks that mapping broken, puts zero pages over what can no longer be read,
 * and lets the read go on; every other SIGBUS goes to the handler that was there before. Whoever computes from a mapping
 * must therefore ask mapping_is_broken afterwards, and throw the result away if so.
 *
 * Threads   A mapping may be read by any number of threads. Opening and closing different mappings is thread-safe.
 */
#ifndef HEADSCOPE_ENGINE_MAPPING_H
#define HEADSCOPE_ENGINE_MAPPING_H

#include "engine/engine.h"

struct mapping;

/* Maps all of a regular file that is not empty. Anything else (a folder, a pipe, a device) is ENGINE_INVALID. */
enum engine_status mapping_open(const char *path, struct mapping **mapping, char *error, size_t error_size);
void mapping_close(struct mapping *mapping); /* NULL is fine; nobody may be reading */

const unsigned char *mapping_data(const struct mapping *mapping);
size_t mapping_size(const struct mapping *mapping);

/* True once a page could not be read, or the file's size or time of change differs from when it was opened. Stays true. */
bool mapping_is_broken(const struct mapping *mapping);

/* Opens a regular file for reading, as mapping_open does. The caller closes *descriptor. */
enum engine_status mapping_open_file(const char *path, int *descriptor, uint64_t *size, char *error, size_t error_size);

#endif
