// Bytes of the open head's map, tile by tile: fetched when first wanted, kept while there is room (the least recently wanted
// go first).

import { ApiError } from './api.js';

const KEEP = 128; // tiles of up to 64 KiB
const AT_ONCE = 4; // requests under way: a browser allows six a server, and rows want some too

export class Tiles {
  #held = new Map();
  #waiting = [];
  #running = 0;
  #abort = new AbortController();

  // source: a map of the api; onChange(error or null): a wanted tile has come, or could not.
  constructor(source, onChange) {
    Object.assign(this, { source, onChange, version: 0 });
  }

  close() {
    this.#waiting = [];
    this.#abort.abort();
  }

  // The bytes of a tile, row-major w x h, or null while they are on their way.
  bytes(tile, pool) {
    const name = `${pool}/${tile.z}/${tile.x}/${tile.y}`;
    let held = this.#held.get(name);
    if (held) {
      this.#held.delete(name);
    } else {
      held = { bytes: null, asked: false };
      this.#waiting.push({ name, tile, pool, held });
    }
    this.#held.set(name, held);
    if (this.#held.size > KEEP) this.#held.delete(this.#held.keys().next().value);
    this.#next();
    return held.bytes;
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length) {
      const want = this.#waiting.pop(); // what was wanted last is what is on screen
      if (this.#held.get(want.name) === want.held) this.#fetch(want);
    }
  }

  async #fetch({ name, tile, pool, held }) {
    this.#running++;
    try {
      const bytes = await this.source.tile(tile, pool, this.#abort.signal);
      if (bytes.length !== tile.w * tile.h) throw new ApiError('cut', 'A part of the map came incomplete.');
      held.bytes = bytes;
      this.version++;
      this.onChange(null);
    } catch (error) {
      this.#held.delete(name);
      if (error.kind !== 'aborted') {
        this.#waiting = [];
        this.onChange(error);
      }
    } finally {
      this.#running--;
      this.#next();
    }
  }
}
