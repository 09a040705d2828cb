/*
 * pages.h: the page's files, from the program itself or, for work on the page, from a folder (--web-root).
 */
#ifndef HEADSCOPE_SERVER_PAGES_H
#define HEADSCOPE_SERVER_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* The content type of a file by its name's end; NULL for what the page has no use for. */
const char *pages_content_type(const char *name);

/* Reads `name` ("index.html", "vendor/x.js") below `folder`: plain files only, never through a symbolic link, never above the
 * folder. *bytes is malloc'ed; etag: a strong tag with its quotes. */
#define PAGES_ETAG 35
bool pages_read(const char *folder, const char *name, char **bytes, size_t *size, char etag[PAGES_ETAG]);

#endif
