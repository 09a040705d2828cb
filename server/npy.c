#include "server/npy.h"

#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays are sent as they lie in memory, little-endian"
#endif

#define PREAMBLE 10 /* magic, version, length of the description */

void npy_header(char header[NPY_HEADER_SIZE], const size_t *shape, size_t dimensions) {
    char sizes[80] = "";
    size_t length = 0;
    for (size_t i = 0; i < dimensions; i++)
        length += (size_t)snprintf(sizes + length, sizeof sizes - length, "%s%zu%s", i ? " " : "", shape[i],
                                   dimensions == 1 || i + 1 < dimensions ? "," : "");
    char text[NPY_HEADER_SIZE];
    int size = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", sizes);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)(NPY_HEADER_SIZE - PREAMBLE);
    header[9] = 0;
    memset(header + PREAMBLE, ' ', NPY_HEADER_SIZE - PREAMBLE);
    memcpy(header + PREAMBLE, text, (size_t)size);
    header[NPY_HEADER_SIZE - 1] = '\n';
}
