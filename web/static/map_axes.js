// Around the plot: token labels where they fit, else ticks with numbers; the labels of what is chosen always; and two
// profiles, what each query reads off the sinks (orange, at the right) and how much each key receives (blue, below).

import { font } from './dom.js';
import { labelsFit, tickStep } from './map_layout.js';
import { label } from './tokens.js';

const CHARACTERS = { wide: 12, narrow: 8 };

export function drawAxes(context, c, l, view, a, focus) {
  const pitch = l.size / view.span;
  const size = Math.max(9, Math.min(13, pitch - 0.5));
  const fit = labelsFit(view.span, l.size);
  const characters = l.x > 60 ? CHARACTERS.wide : CHARACTERS.narrow;
  context.fillStyle = c.soft;
  context.font = font(12);
  context.textBaseline = 'alphabetic';
  context.textAlign = 'left';
  context.fillText('keys \u2192', l.x, 12);
  context.save();
  context.translate(11, l.y);
  context.rotate(-Math.PI / 2);
  context.textAlign = 'right';
  context.fillText('\u2190 queries', 0, 0);
  context.restore();

  const taken = { x: focus.key, y: focus.query };
  for (const axis of ['x', 'y']) {
    const from = axis === 'x' ? view.key : view.query;
    const pieces = axis === 'x' ? a.keyPieces : a.pieces;
    const step = fit ? 1 : tickStep(view.span, l.size, axis === 'x' ? 44 : 28);
    for (let i = Math.ceil(from / step) * step; i < Math.min(pieces.length, from + view.span); i += step) {
      const at = (i + 0.5 - from) * pitch;
      if (at < 0 || at > l.size) continue;
      if (taken[axis] !== null && Math.abs(i - taken[axis]) * pitch < (fit ? size : 15)) continue;
      mark(context, l, axis, at, fit ? label(pieces[i], characters) : String(i), fit ? size : 11, 400, c.soft, !fit, c);
    }
  }
  focusLabel('x', focus.key, view.key, c.key);
  focusLabel('y', focus.query, view.query, c.query);

  function focusLabel(axis, token, from, colour) {
    if (token === null) return;
    const at = (token + 0.5 - from) * pitch;
    if (at < 0 || at > l.size) return;
    mark(context, l, axis, at, label((axis === 'x' ? a.keyPieces : a.pieces)[token], characters), Math.max(11, size), 700, colour, false, c);
  }
}

function mark(context, l, axis, at, text, size, weight, colour, tick, c) {
  context.font = font(size, weight);
  context.fillStyle = colour;
  context.textBaseline = 'middle';
  const room = l.x - 20; // the gutter without the axis' name
  if (axis === 'y') {
    context.textAlign = 'right';
    context.fillText(text, l.x - 6, l.y + at, room);
  } else {
    context.save();
    context.translate(l.x + at, l.y - 6);
    if (tick) {
      context.textAlign = 'center';
      context.textBaseline = 'alphabetic';
      context.fillText(text, 0, -1);
    } else {
      context.rotate(-Math.PI / 2);
      context.textAlign = 'left';
      context.fillText(text, 0, 0, room);
    }
    context.restore();
  }
  if (!tick) return;
  context.fillStyle = c.edge;
  if (axis === 'y') context.fillRect(l.x - 4, Math.round(l.y + at), 4, 1);
  else context.fillRect(Math.round(l.x + at), l.y - 4, 1, 4);
}

export function drawProfiles(context, c, l, view, a, state, focus) {
  const { series } = state;
  if (!series) return;
  const hide = state.sinks === 'hidden' && a.excluded.length > 0;
  const sunk = new Set(hide ? a.excluded : []);
  const perQuery = hide ? series.sink_mass.map((m) => (m === null ? 0 : 1 - m)) : series.max_weight;
  const perKey = series.received.map((r, i) => (r === null || sunk.has(i) || unsure(a, i) ? 0 : r));
  bars(
    context,
    c,
    l,
    'y',
    perQuery.map((v, i) => (i === 0 && a.causal ? 0 : v)),
    view.query,
    view.span,
    c.query,
    focus.query,
  );
  bars(context, c, l, 'x', perKey, view.key, view.span, c.key, focus.key);
  context.fillStyle = c.soft;
  context.font = font(11);
  context.textBaseline = 'alphabetic';
  context.textAlign = 'right';
  const wide = l.x > 60;
  if (wide) {
    context.fillText('received', l.x - 6, l.below + 12);
    context.fillText('by each key', l.x - 6, l.below + 25);
  }
  context.save();
  context.translate(l.right + 10, l.y - 6);
  context.rotate(-Math.PI / 2);
  context.textAlign = 'left';
  context.fillText(hide ? 'off the sinks' : 'largest', 0, 0, l.y - 8);
  context.restore();
}

// A key that hardly any query sees: its mean says nothing (and would tower over the rest).
function unsure(a, key) {
  return a.causal && a.n - 1 - key < Math.min(8, a.n / 4);
}

// Bars along an edge: a pixel's bar is the largest of the tokens it covers; the tallest fills the room.
function bars(context, c, l, axis, values, from, span, colour, focus) {
  const most = Math.max(1e-9, ...values.slice(0, 20000));
  const n = values.length;
  const pitch = l.size / span;
  const draw = (at, thick, share) => {
    const long = Math.max(share > 0.004 ? 1 : 0, share * l.profile);
    if (axis === 'y') context.fillRect(l.right, l.y + at, long, thick);
    else context.fillRect(l.x + at, l.below, thick, long);
  };
  context.fillStyle = c.line;
  if (axis === 'y') context.fillRect(l.right - 1, l.y, 1, l.size);
  else context.fillRect(l.x, l.below - 1, l.size, 1);
  context.fillStyle = colour;
  context.globalAlpha = focus === null ? 0.75 : 0.5;
  if (pitch >= 1.5) {
    const gap = pitch >= 5 ? 1 : 0;
    for (let i = Math.max(0, Math.floor(from)); i < Math.min(n, from + span); i++) {
      const start = Math.max(0, (i - from) * pitch);
      const end = Math.min(l.size, (i + 1 - from) * pitch);
      context.globalAlpha = i === focus ? 1 : focus === null ? 0.75 : 0.5;
      draw(start, end - start - gap, values[i] / most);
    }
  } else {
    for (let p = 0; p < l.size; p++) {
      let v = 0;
      const last = Math.min(n, Math.max(Math.floor(from + p / pitch) + 1, Math.floor(from + (p + 1) / pitch)));
      for (let i = Math.floor(from + p / pitch); i < last; i++) v = Math.max(v, values[i]);
      draw(p, 1, v / most);
    }
  }
  context.globalAlpha = 1;
}
