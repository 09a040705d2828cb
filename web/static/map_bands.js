// The parts of a pair or a chat along the map's edges: a thin band for each, and a line across the plot where one ends.

import { h } from './dom.js';
import { partName } from './input.js';

const WIDE = 3; // pixels
// From pale to strong, of colours that mean nothing else.
const TONES = { system: 'line', user: 'edge', assistant: 'soft', first: 'edge', second: 'soft' };

export function drawBands(context, c, l, view, a) {
  if (!a.segments.length) return;
  const pitch = l.size / view.span;
  const place = (token, from) => Math.max(0, Math.min(l.size, (token - from) * pitch));
  context.save();
  for (const { name, first, end } of a.segments) {
    const [x0, x1, y0, y1] = [place(first, view.key), place(end, view.key), place(first, view.query), place(end, view.query)];
    context.fillStyle = c[TONES[name] ?? 'edge'];
    context.globalAlpha = 1;
    context.fillRect(l.x + x0, l.y - WIDE - 1, Math.max(0, x1 - x0 - 1), WIDE);
    context.fillRect(l.x - WIDE - 1, l.y + y0, WIDE, Math.max(0, y1 - y0 - 1));
    if (first === 0) continue;
    context.fillStyle = c.edge;
    context.globalAlpha = 0.8;
    if (x0 > 0 && x0 < l.size) context.fillRect(Math.round(l.x + x0) - 0.5, l.y, 1, l.size);
    if (y0 > 0 && y0 < l.size) context.fillRect(l.x, Math.round(l.y + y0) - 0.5, l.size, 1);
  }
  context.restore();
}

// What the bands stand for, in words; empty where there is one text.
export function bandLegend(a) {
  const names = [...new Set(a.segments.map((s) => s.name))];
  return names.map((name) => h('span', { class: `band ${TONES[name] ?? 'edge'}` }, partName(name)));
}
