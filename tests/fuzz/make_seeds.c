/* make_seeds FOLDER: writes small sound model files to start fuzz_model from. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/tiny_model.h"

int main(int argc, char **argv) {
    static const char *const pres[] = {NULL, "smollm", "llama-bpe", "tekken"};
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    for (int i = 0; i < 4; i++) {
        char path[4096];
        struct tiny_model kind = {1, 2, 1, 16, 32, 16, 1, 1, i > 1, pres[i]};
        snprintf(path, sizeof path, "%s/%d.gguf", argv[1], i);
        if (!tiny_model_write(path, &kind)) {
            perror(path);
            return 1;
        }
    }
    return 0;
}
