/*
 * map_png.h: a map as a picture. The only file that knows libpng.
 */
#ifndef HEADSCOPE_SERVER_MAP_PNG_H
#define HEADSCOPE_SERVER_MAP_PNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A picture of width x height cells with the page's colours, light: a cell is an index into the ramp, round(255 sqrt(weight)), and
 * stays readable as such (a palette image). `row` gives one row after the other; false: it cannot. */
struct png_source {
    size_t width, height;
    bool (*row)(void *context, size_t index, uint8_t *cells);
    void *context;
};

enum png_result { PNG_OK, PNG_NO_MEMORY, PNG_NO_ROW };

/* *bytes: malloc'ed. */
enum png_result map_png_write(const struct png_source *source, char **bytes, size_t *size);

#endif
