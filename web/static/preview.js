// What hangs beside a hovered cell of the grid: the head's map, larger, its name and its number.

import { paintStrip, paintThumb } from './cells.js';
import { colours, h } from './dom.js';
import { headNumber } from './ranking.js';
import { palette } from './theme.js';

const SIZE = 144;

export class Preview {
  #canvas = h('canvas', {});
  #name = h('strong', {});
  #words = h('span', {});
  #box = h('div', { class: 'preview', 'aria-hidden': 'true', hidden: true }, this.#canvas, this.#name, this.#words);

  constructor(store) {
    this.store = store;
    document.body.append(this.#box);
    addEventListener('scroll', () => this.hide(), { passive: true, capture: true });
  }

  hide() {
    this.#box.hidden = true;
  }

  // cell: where the head's cell is in the window
  show({ layer, head }, cell) {
    const { state } = this.store;
    const a = state.analysis;
    const ratio = window.devicePixelRatio || 1;
    const size = Math.round(SIZE * ratio);
    Object.assign(this.#canvas, { width: size, height: size });
    const context = this.#canvas.getContext('2d');
    context.fillStyle = colours().zero;
    context.fillRect(0, 0, size, size);
    paintThumb(context, palette(state), a, layer, head, state.pool, { x: 0, y: 0, size });
    if (state.sinks === 'shown')
      paintStrip(context, palette(state), a, layer, head, { x: 0, y: 0, width: Math.round(size / 14), height: size });
    this.#name.textContent = `${layer}.${head}`;
    this.#words.textContent = headNumber(state, layer, head);
    this.#box.hidden = false;
    const box = this.#box.getBoundingClientRect();
    const right = cell.x + cell.size + 10;
    const left = right + box.width < window.innerWidth - 8 ? right : cell.x - box.width - 10;
    const top = Math.min(Math.max(8, cell.y - 20), window.innerHeight - box.height - 8);
    this.#box.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}
