// NDJSON as it arrives: bytes in, objects out. One decoder for the whole stream, so that a character cut by a chunk's end is
// kept whole; a line may be longer than a chunk. Empty lines are heartbeats.

export class LineReader {
  #decoder = new TextDecoder('utf-8', { fatal: true });
  #parts = [];

  push(bytes) {
    return this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  // Whatever is left at the end of the stream: a last line without its newline.
  end() {
    return this.#take(this.#decoder.decode() + '\n');
  }

  #take(text) {
    const objects = [];
    let from = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      this.#parts.push(text.slice(from, at));
      const line = this.#parts.join('').trim();
      this.#parts = [];
      from = at + 1;
      if (line) objects.push(JSON.parse(line));
    }
    if (from < text.length) this.#parts.push(text.slice(from));
    return objects;
  }
}
