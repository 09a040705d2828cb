// The picture of all heads. What has arrived is kept on a second canvas that nobody sees, so that a hover or a selection only
// copies it and adds its outlines.

import { parseHead } from './beside.js';
import { paintMapCell, paintNumberCell, paintShade, paintTint, paintWaitingCell } from './cells.js';
import { colours, font, sizeCanvas, stillness } from './dom.js';
import { cellRect } from './layout.js';
import { groupColour } from './groups.js';
import { lightOf, numbersOf, painting } from './painting.js';
import { palette } from './theme.js';
import { typeColour, typesOf } from './types.js';

const FADE = 260; // ms in which a layer appears

export class GridPicture {
  #kept = document.createElement('canvas');
  #painted = { look: '', analysis: null, layers: 0 };
  #arrivals = []; // when each layer of the analysis came
  #of = null; // the analysis that they are about

  constructor(canvas) {
    this.canvas = canvas;
  }

  // Notes the time of layers that have come since; those that were there already do not fade in.
  arrived(analysis) {
    if (analysis !== this.#of) this.#arrivals = [];
    this.#of = analysis;
    while (analysis && this.#arrivals.length < analysis.arrived) this.#arrivals.push(performance.now());
  }

  // focused: whether the keyboard is on the grid. True if another frame is wanted.
  draw(state, layout, focused) {
    const { context, ratio } = sizeCanvas(this.canvas, layout.width, layout.height);
    this.#paint(state, layout, ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.#kept, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const c = colours();
    const young = !stillness() && this.#veil(context, layout, c);
    drawAxis(context, layout, c, state);
    outline(context, layout, state.hoverHead, c.ink, 1);
    const open = state.layer === null ? null : state;
    outline(context, layout, parseHead(state.beside, state.analysis), c.soft, 2, 1);
    outline(context, layout, open, c.ink, 2, 1); // a hair away, to be seen around a dark cell too
    if (focused) outline(context, layout, open ?? { layer: 0, head: 0 }, c.accent, 2, 3);
    return young;
  }

  // Brings the kept canvas up to date: only what is missing, unless the look has changed.
  #paint(state, l, ratio) {
    const a = state.analysis;
    const canvas = this.#kept;
    const what = painting(state);
    const look = [
      state.theme,
      state.scale,
      what.key,
      state.sinks,
      state.pool,
      l.cell,
      l.gap,
      l.width,
      ratio,
    ].join();
    const size = { width: Math.round(l.width * ratio), height: Math.round(l.height * ratio) };
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
    const context = canvas.getContext('2d');
    const c = colours();
    if (this.#painted.look !== look || this.#painted.analysis !== a) {
      this.#painted = { look, analysis: a, layers: 0 };
      context.clearRect(0, 0, canvas.width, canvas.height);
      eachCell(l, 0, l.layers, ratio, (layer, head, box) => paintWaitingCell(context, box, c));
    }
    if (this.#painted.layers >= a.arrived) return;
    const paint = {
      context,
      palette: palette(state),
      colours: c,
      state,
      ratio,
      font: font(Math.max(9, Math.min(11, Math.floor(l.cell / 2.9))) * ratio),
      name: what.name,
      ...(what.kind === 'number' ? numbersOf(state, what.name) : {}),
    };
    const cell = what.kind === 'number' ? paintNumberCell : paintMapCell;
    const lit = lightOf(state);
    const tint = tints(state, what.kind);
    eachCell(l, this.#painted.layers, a.arrived, ratio, (layer, head, box) => {
      cell(paint, a, layer, head, box);
      if (tint) paintTint(paint, box, tint(layer * a.heads + head));
      if (lit) paintShade(paint, box, lit.light[layer * a.heads + head], lit.top.has(layer * a.heads + head));
    });
    this.#painted.layers = a.arrived;
  }

  // A layer appears by the fading of a veil over it.
  #veil(context, l, c) {
    const now = performance.now();
    let young = false;
    this.#arrivals.forEach((since, layer) => {
      const age = (now - since) / FADE;
      if (age >= 1) return;
      young = true;
      context.globalAlpha = (1 - age) ** 2;
      context.fillStyle = c.zero;
      for (let head = 0; head < l.heads; head++) {
        const { x, y, size } = cellRect(l, layer, head);
        context.fillRect(x + 1, y + 1, size - 2, size - 2);
      }
    });
    context.globalAlpha = 1;
    return young;
  }
}

// The colour of what a head has in common with others, or null; i counts heads through all layers.
function tints(state, kind) {
  const { heads } = state.analysis;
  if (kind === 'groups') return (i) => groupColour(state, state.groups.clusters[i]);
  if (kind === 'types') return (i) => typeColour(state, typesOf(state, Math.floor(i / heads), i % heads)[0]?.type);
  return null;
}

// Cells in device pixels, so that every map lies on whole ones.
function eachCell(l, from, to, ratio, visit) {
  for (let layer = from; layer < to; layer++) {
    for (let head = 0; head < l.heads; head++) {
      const { x, y, size } = cellRect(l, layer, head);
      visit(layer, head, { x: Math.round(x * ratio), y: Math.round(y * ratio), size: Math.round(size * ratio) });
    }
  }
}

function drawAxis(context, l, c, state) {
  context.textAlign = 'center';
  context.textBaseline = 'alphabetic';
  const on = state.hoverHead?.layer ?? state.layer;
  for (let layer = 0; layer < l.layers; layer++) {
    if (layer !== on && layer % 5) continue;
    context.fillStyle = layer === on ? c.ink : c.soft;
    context.font = font(12, layer === on ? 700 : 400);
    context.fillText(String(layer), l.left + layer * l.pitch + l.cell / 2, l.top - 9);
  }
}

function outline(context, l, at, colour, width, away = 0) {
  if (!at || at.layer >= l.layers || at.head >= l.heads) return;
  const { x, y, size } = cellRect(l, at.layer, at.head);
  const d = width / 2 + away - 0.5;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x - d, y - d, size + 2 * d, size + 2 * d);
}
