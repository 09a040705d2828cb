/*
 * check_main.h: the main function of a Check program. Define `static Suite *suite(void)` before including it.
 */
#ifndef HEADSCOPE_TESTS_CHECK_MAIN_H
#define HEADSCOPE_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

int main(void) {
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
