// All heads as dots on a plane, near where they are alike.

import { colours, font, h, onHover, sizeCanvas } from './dom.js';
import { groupColour } from './groups.js';

const EDGE = 12;
const REACH = 14; // pixels from a dot that still mean it

export class Plane {
  canvas = h('canvas', { role: 'img', 'aria-label': 'Heads on a plane: near means alike. The same heads are in the grid.' });
  figure = h('figure', { hidden: true }, this.canvas);
  #points = [];

  constructor(store, choose) {
    this.store = store;
    const at = (event) => this.#nearest(event.offsetX, event.offsetY);
    onHover(this.canvas, at, (head) => store.set({ hoverHead: head }), (a, b) => a?.layer === b?.layer && a?.head === b?.head);
    this.canvas.addEventListener('click', (event) => {
      const head = at(event);
      if (head) choose(head.layer, head.head);
    });
    new ResizeObserver(() => this.draw(store.state)).observe(this.figure);
  }

  #nearest(x, y) {
    let best = null;
    let least = REACH;
    this.#points.forEach(([px, py], i) => {
      const far = Math.hypot(px - x, py - y);
      if (far < least) [best, least] = [i, far];
    });
    const { heads } = this.store.state.analysis;
    return best === null ? null : { layer: Math.floor(best / heads), head: best % heads };
  }

  draw(state) {
    const { groups, analysis: a } = state;
    this.figure.hidden = !groups;
    const size = this.figure.clientWidth;
    if (!groups || size < 60) return;
    const height = Math.min(size, 300);
    const { context } = sizeCanvas(this.canvas, size, height);
    const c = colours();
    context.clearRect(0, 0, size, height);
    // One scale for both axes: distances are what the picture is about.
    const span = (k) => {
      const all = groups.embedding.map((p) => p[k]);
      return [Math.min(...all), Math.max(...all)];
    };
    const [[x0, x1], [y0, y1]] = [span(0), span(1)];
    const scale = Math.min((size - 2 * EDGE) / (x1 - x0 || 1), (height - 2 * EDGE) / (y1 - y0 || 1));
    const place = ([x, y]) => [size / 2 + (x - (x0 + x1) / 2) * scale, height / 2 - (y - (y0 + y1) / 2) * scale];
    this.#points = groups.embedding.map(place);
    const dot = (i, radius) => {
      context.beginPath();
      context.arc(...this.#points[i], radius, 0, 2 * Math.PI);
    };
    this.#points.forEach((_, i) => {
      const group = groups.clusters[i];
      const colour = groupColour(state, group);
      context.globalAlpha = state.group === null || state.group === group ? 0.9 : 0.15;
      dot(i, colour ? 4 : 3);
      context.fillStyle = colour ?? c.edge;
      context.fill();
    });
    context.globalAlpha = 1;
    const mark = (head, colour) => {
      if (!head || head.layer === null) return;
      const i = head.layer * a.heads + head.head;
      context.strokeStyle = colour;
      context.lineWidth = 2;
      dot(i, 6.5);
      context.stroke();
      const [x, y] = this.#points[i];
      context.font = font(12, 600);
      context.textBaseline = 'middle';
      context.textAlign = x > size - 50 ? 'right' : 'left';
      context.fillStyle = c.panel;
      context.strokeStyle = c.panel;
      context.lineWidth = 3;
      const words = [`${head.layer}.${head.head}`, x + (x > size - 50 ? -11 : 11), y];
      context.strokeText(...words);
      context.fillStyle = c.ink;
      context.fillText(...words);
    };
    mark(state, c.ink);
    mark(state.hoverHead, c.soft);
  }
}
