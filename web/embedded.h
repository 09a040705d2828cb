/*
 * embedded.h: the files of web/static, compiled into the program (embed.py writes the table).
 */
#ifndef HEADSCOPE_WEB_EMBEDDED_H
#define HEADSCOPE_WEB_EMBEDDED_H

#include <stddef.h>

struct web_file {
    const char *path;         /* below web/static: "index.html" */
    const char *content_type;
    const char *etag;         /* strong, with its quotes */
    const unsigned char *bytes;
    size_t size;
};

extern const struct web_file web_files[]; /* sorted by path */
extern const size_t web_file_count;

#endif
