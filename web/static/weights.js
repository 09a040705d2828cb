// Exact weights of the open head. A short text's map is fetched whole, once; of a long one single rows and columns, which are
// kept while the head is open. Reads are promises; peek() is what is here already.

const WHOLE_UP_TO = 384; // tokens: 590 KB of float32
const KEEP = 256;

export class HeadWeights {
  #whole = null;
  #cuts = new Map();
  #abort = new AbortController();

  #scale = null;

  // source: a map of the api; scaled: its numbers are shown as shares of the largest, as its pixels are
  constructor(source, n, scaled = false) {
    Object.assign(this, { source, n, scaled });
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
    const { data } = await this.#read({ [axis]: [index, index + 1] });
    return data;
  }

  async #read(cut) {
    const { signal } = this.#abort;
    if (!this.scaled) return this.source.weights(cut, signal);
    this.#scale ||= this.source.largest(Math.ceil(Math.log2(Math.max(1, this.n))), signal);
    const [{ shape, data }, largest] = await Promise.all([this.source.weights(cut, signal), this.#scale]);
    return { shape, data: largest > 0 ? data.map((v) => v / largest) : data };
  }

  async #fromWhole(axis, index) {
    this.#whole ||= this.#read({});
    let whole;
    try {
      whole = await this.#whole;
    } catch (error) {
      this.#whole = this.#scale = null;
      throw error;
    }
    const [rows, cols] = whole.shape;
    if (axis === 'queries') return whole.data.subarray(index * cols, (index + 1) * cols);
    return Float32Array.from({ length: rows }, (_, q) => whole.data[q * cols + index]);
  }
}
