#include "server/map_png.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
    char *bytes;
    size_t size, room;
};

static void png_put(png_structp png, png_bytep data, png_size_t size) {
    struct buffer *buffer = png_get_io_ptr(png);
    if (size > buffer->room - buffer->size) {
        size_t room = buffer->room * 2 + size + 4096;
        char *bytes = realloc(buffer->bytes, room);
        if (!bytes) png_error(png, "out of memory");
        buffer->bytes = bytes;
        buffer->room = room;
    }
    memcpy(buffer->bytes + buffer->size, data, size);
    buffer->size += size;
}

static void png_flush_nothing(png_structp png) {
    (void)png;
}

static void png_fail(png_structp png, png_const_charp message) {
    (void)message;
    longjmp(png_jmpbuf(png), 1);
}

static void png_silent(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

/* The ramp of the page in its light dress: five colours, evenly spaced, straight lines between them. */
static void png_ramp(png_color palette[256]) {
    static const uint8_t stops[5][3] = {
        {0xFF, 0xFF, 0xFF}, {0xD6, 0xE3, 0xF4}, {0x78, 0xA4, 0xD6}, {0x26, 0x5C, 0xA6}, {0x09, 0x1A, 0x46},
    };
    for (int i = 0; i < 256; i++) {
        int stop = i * 4 / 255 < 4 ? i * 4 / 255 : 3, part = i * 4 - stop * 255;
        uint8_t colour[3];
        for (int c = 0; c < 3; c++)
            colour[c] = (uint8_t)(stops[stop][c] + ((int)stops[stop + 1][c] - (int)stops[stop][c]) * part / 255);
        palette[i] = (png_color){colour[0], colour[1], colour[2]};
    }
}

/* What longjmp may come back to: nothing here changes after setjmp but through pointers. */
static enum png_result png_draw(png_structp png, png_infop info, const struct png_source *source, uint8_t *cells) {
    png_color palette[256];
    if (setjmp(png_jmpbuf(png))) return PNG_NO_MEMORY;
    png_set_compression_level(png, 3);
    png_set_filter(png, 0, PNG_FILTER_NONE);
    png_set_IHDR(png, info, (png_uint_32)source->width, (png_uint_32)source->height, 8, PNG_COLOR_TYPE_PALETTE,
                 PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_ramp(palette);
    png_set_PLTE(png, info, palette, 256);
    png_write_info(png, info);
    for (size_t y = 0; y < source->height; y++) {
        if (!source->row(source->context, y, cells)) return PNG_NO_ROW;
        png_write_row(png, cells);
    }
    png_write_end(png, info);
    return PNG_OK;
}

enum png_result map_png_write(const struct png_source *source, char **bytes, size_t *size) {
    enum png_result result = PNG_NO_MEMORY;
    struct buffer buffer = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_fail, png_silent);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    uint8_t *cells = malloc(source->width);
    if (info && cells) {
        png_set_write_fn(png, &buffer, png_put, png_flush_nothing);
        result = png_draw(png, info, source, cells);
    }
    free(cells);
    png_destroy_write_struct(&png, &info);
    if (result == PNG_OK) {
        *bytes = buffer.bytes;
        *size = buffer.size;
    } else {
        free(buffer.bytes);
    }
    return result;
}
