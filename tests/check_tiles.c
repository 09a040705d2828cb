/* check_tiles.c: kept tiles: the latest stay, copies are the caller's own, no memory means not kept. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/tiles.h"
#include "tests/failing_malloc.h"

static void put(struct tiles *tiles, int number) {
    uint8_t pixels[100];
    struct kept_tile tile = {.pixels = pixels, .size = 1 + (size_t)number, .largest = (float)number};
    memset(pixels, number, sizeof pixels);
    snprintf(tile.name, sizeof tile.name, "tile %d", number);
    tiles_put(tiles, &tile);
}

static bool is_there(struct tiles *tiles, int number) {
    struct kept_tile tile;
    char name[32];
    snprintf(name, sizeof name, "tile %d", number);
    if (!tiles_get(tiles, name, &tile)) return false;
    ck_assert_str_eq(tile.name, name);
    ck_assert_uint_eq(tile.size, 1 + (size_t)number);
    ck_assert_float_eq(tile.largest, (float)number);
    for (size_t i = 0; i < tile.size; i++) ck_assert_uint_eq(tile.pixels[i], number);
    memset(tile.pixels, 77, tile.size); /* a copy */
    free(tile.pixels);
    return true;
}

START_TEST(the_latest_stay) {
    struct tiles *tiles = tiles_create(3);
    ck_assert(!is_there(tiles, 1));
    for (int i = 1; i <= 3; i++) put(tiles, i);
    for (int i = 1; i <= 3; i++) ck_assert(is_there(tiles, i));
    ck_assert(is_there(tiles, 1)); /* 2 has not been asked for longest */
    put(tiles, 4);
    ck_assert(!is_there(tiles, 2));
    ck_assert(is_there(tiles, 3) && is_there(tiles, 1) && is_there(tiles, 4));
    put(tiles, 3); /* once more takes no other's place */
    ck_assert(is_there(tiles, 3) && is_there(tiles, 1) && is_there(tiles, 4));
    tiles_destroy(tiles);
    tiles = tiles_create(0);
    put(tiles, 1);
    ck_assert(!is_there(tiles, 1));
    tiles_destroy(tiles);
    tiles_destroy(NULL);
}
END_TEST

START_TEST(without_memory) {
    failing_malloc_after(0);
    ck_assert_ptr_null(tiles_create(3));
    ck_assert(failing_malloc_stop());
    struct tiles *tiles = tiles_create(3);
    failing_malloc_after(0);
    put(tiles, 1);
    ck_assert(failing_malloc_stop());
    ck_assert(!is_there(tiles, 1));
    put(tiles, 1);
    failing_malloc_after(0);
    ck_assert(!is_there(tiles, 1));
    ck_assert(failing_malloc_stop());
    ck_assert(is_there(tiles, 1));
    tiles_destroy(tiles);
}
END_TEST

static Suite *suite(void) {
    Suite *suite = suite_create("tiles");
    TCase *cases = tcase_create("tiles");
    tcase_add_test(cases, the_latest_stay);
    tcase_add_test(cases, without_memory);
    suite_add_tcase(suite, cases);
    return suite;
}

#include "tests/check_main.h"
