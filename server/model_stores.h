/*
 * model_stores.h: models that other programs have fetched, found where those keep them, read only:
 *
 *   Hugging Face hub  <hub>/models--ORG--NAME/snapshots/REVISION, the revision that refs/main names, else the latest: a folder with a
 *                     config.json, or the .gguf files in it. Snapshots hold links to blobs.
 *   llama.cpp         every .gguf in its cache.
 *   Ollama            <models>/manifests/HOST/SPACE/NAME/TAG, a JSON file that names the blob with the weights. The id is NAME-TAG,
 *                     NAME for "latest".
 */
#ifndef HEADSCOPE_SERVER_MODEL_STORES_H
#define HEADSCOPE_SERVER_MODEL_STORES_H

#include "server/model_file.h"

enum { OLLAMA_STORES_MAX = 2 };

/* The stores' folders; NULL, or a folder that is not there: none. */
struct model_stores {
    const char *hub, *llama_cache, *ollama[OLLAMA_STORES_MAX];
};

/* Adds what the stores hold to the list, each store by path. False: out of memory; the list is then still the caller's to clear. */
bool model_stores_find(const struct model_stores *stores, struct model_files *files);

#endif
