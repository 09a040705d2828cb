/*
 * json_manifest.h: the manifest of a model in Ollama's store (an OCI image manifest: a list of layers by digest).
 */
#ifndef HEADSCOPE_SERVER_JSON_MANIFEST_H
#define HEADSCOPE_SERVER_JSON_MANIFEST_H

#include <stdbool.h>

struct manifest {
    char model[65]; /* SHA-256 of the blob with the weights, a GGUF file */
    bool adapter;   /* there is a LoRA adapter on top */
};

/* False when it is none, or names no weights. */
bool json_manifest_read(const char *text, struct manifest *manifest);

#endif
