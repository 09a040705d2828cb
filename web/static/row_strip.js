// The row (or column) of the chosen token along the text: where its weights lie, from the first token to the last. Bars are on
// the page's scale; a tick marks the token itself.

import { unitOf } from './colour.js';
import { colours, font, h, onHover, sizeCanvas } from './dom.js';

const HEIGHT = 68;
const AXIS = 16; // below the bars

export class RowStrip {
  canvas = h('canvas', { class: 'row-strip', 'aria-hidden': 'true' });
  #shown = null;

  // hover(token or null), pin(token)
  constructor(place, { hover, pin }) {
    this.place = place;
    place.append(this.canvas);
    const at = (event) => {
      const n = this.#shown?.data.length ?? 0;
      return n ? Math.max(0, Math.min(n - 1, Math.floor((event.offsetX / this.place.clientWidth) * n))) : null;
    };
    onHover(this.canvas, at, hover);
    this.canvas.addEventListener('click', (event) => pin(at(event)));
    new ResizeObserver(() => this.#draw()).observe(place);
  }

  // shown: { data, token (null where it stands in another text), reads, hidden (a set of positions), scale, mark (a position or null) }, or null for nothing
  show(shown) {
    this.#shown = shown;
    this.#draw();
  }

  #draw() {
    const width = this.place.clientWidth;
    if (width < 40) return;
    const { context } = sizeCanvas(this.canvas, width, HEIGHT);
    const c = colours();
    context.clearRect(0, 0, width, HEIGHT);
    const base = HEIGHT - AXIS;
    context.fillStyle = c.line;
    context.fillRect(0, base, width, 1);
    if (!this.#shown) return;
    const { data, token, reads, hidden, scale, mark } = this.#shown;
    const pitch = width / data.length;
    const thick = Math.max(1.5, Math.min(12, pitch - 1));
    for (let i = 0; i < data.length; i++) {
      if (hidden.has(i)) continue;
      const tall = unitOf(data[i], scale) * (base - 2);
      if (tall < 0.4) continue;
      context.globalAlpha = mark === null || mark === i ? 1 : 0.55;
      context.fillStyle = reads ? c.key : c.query;
      context.fillRect((i + 0.5) * pitch - thick / 2, base - tall, thick, tall);
    }
    context.globalAlpha = 1;
    context.fillStyle = reads ? c.query : c.key;
    if (token !== null) context.fillRect((token + 0.5) * pitch - 1, base - 4, 2, 9);
    this.#words(context, c, width, data.length, token, pitch, reads);
  }

  // The numbers of the first, the last and the chosen token, where they do not meet.
  #words(context, c, width, n, token, pitch, reads) {
    const line = HEIGHT - 2;
    context.font = font(11);
    context.textBaseline = 'alphabetic';
    const half = token === null ? 0 : context.measureText(String(token)).width / 2 + 1;
    const x = token === null ? width / 2 : Math.max(half, Math.min(width - half, (token + 0.5) * pitch));
    context.textAlign = 'center';
    context.fillStyle = reads ? c.query : c.key;
    if (token !== null) context.fillText(String(token), x, line);
    context.fillStyle = c.soft;
    context.textAlign = 'left';
    if (x > half + 16) context.fillText('0', 0, line);
    context.textAlign = 'right';
    if (x < width - half - context.measureText(String(n - 1)).width - 8) context.fillText(String(n - 1), width, line);
  }
}
