// Exact weights of the open head. A short text's map is fetched whole, once; of a long one single rows and columns, which are
// kept while the head is open. Reads are promises; peek() is what is here already.

import * as api from './api.js';

const WHOLE_UP_TO = 384; // tokens: 590 KB of float32
const KEEP = 256;

export class HeadWeights {
  #whole = null;
  #cuts = new Map();
  #abort = new AbortController();

  // where: as api.js takes it; n: the longer side of the map
  constructor(where, layer, head, n) {
    Object.assign(this, { where, layer, head, n });
  }

  close() {
    this.#abort.abort();
  }

  row(query) {
    return this.#line('queries', query);
  }
  column(key) {
    return this.#line('keys', key);
  }

  // The row or column if it has come, else null.
  peek(axis, index) {
    return this.#cuts.get(`${axis}:${index}`)?.value ?? null;
  }

  async #line(axis, index) {
    const name = `${axis}:${index}`;
    const held = this.#cuts.get(name);
    if (held) {
      this.#cuts.delete(name); // to the young end
      this.#cuts.set(name, held);
      return held.promise;
    }
    const entry = { value: null, promise: null };
    entry.promise = this.n <= WHOLE_UP_TO ? this.#fromWhole(axis, index) : this.#fetch(axis, index);
    this.#cuts.set(name, entry);
    if (this.#cuts.size > KEEP) this.#cuts.delete(this.#cuts.keys().next().value);
    try {
      entry.value = await entry.promise;
      return entry.value;
    } catch (error) {
      this.#cuts.delete(name); // a later try asks again
      throw error;
    }
  }

  async #fetch(axis, index) {
    const { data } = await api.weights(this.where, this.layer, this.head, { [axis]: [index, index + 1] }, this.#abort.signal);
    return data;
  }

  async #fromWhole(axis, index) {
    this.#whole ||= api.weights(this.where, this.layer, this.head, {}, this.#abort.signal);
    let whole;
    try {
      whole = await this.#whole;
    } catch (error) {
      this.#whole = null;
      throw error;
    }
    const [rows, cols] = whole.shape;
    if (axis === 'queries') return whole.data.subarray(index * cols, (index + 1) * cols);
    return Float32Array.from({ length: rows }, (_, q) => whole.data[q * cols + index]);
  }
}
