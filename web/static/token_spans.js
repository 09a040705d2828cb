// A text as one span a token, in a block a line of the text: what changes in one block lays out that one alone. Text nodes only.

import { h } from './dom.js';
import { partName } from './input.js';

const line = () => h('div', { dir: 'auto', role: 'presentation' });
export const heading = (name) => h('div', { class: 'segment', role: 'presentation' }, partName(name));

// id(i): what a token's span is called in the page. segments: the parts of a pair or a chat (see input.js), which get a heading each.
// Result: { lines, spans }.
export function tokenSpans(pieces, id, segments = []) {
  const lines = [line()];
  const headings = new Map(segments.map((s) => [s.first, s.name]));
  const spans = pieces.map((piece, i) => {
    if (headings.has(i)) lines.push(heading(headings.get(i)), line());
    const names = [piece.special && 'special', piece.part?.[0] > 1 && 'rest-part', /[\n\r]/.test(piece.text) && 'newline']
      .filter(Boolean)
      .join(' ');
    // A word's leading space stands outside: a shade or a line under it would hang over a line's end.
    const space = /^ +(?=\S)/.exec(piece.text)?.[0] ?? '';
    const span = h('span', { 'data-i': i, class: names || null, role: 'option', id: id(i) }, piece.text.slice(space.length));
    lines.at(-1).append(piece.gap, space, span);
    if (piece.text.endsWith('\n')) lines.push(line());
    return span;
  });
  return { lines: lines.filter((l) => l.firstChild), spans };
}

// The token of an event inside `box`, or null.
export function tokenOf(event, box) {
  const span = event.target.closest?.('[data-i]');
  return span && box.contains(span) ? Number(span.dataset.i) : null;
}

// The token nearest above (step -1) or below (1): along the tokens until the line has changed once and the column is reached.
export function lineStep(spans, from, step) {
  const start = spans[from].getBoundingClientRect();
  let best = from;
  let top = null;
  let least = Infinity;
  for (let i = from + step; i >= 0 && i < spans.length; i += step) {
    const box = spans[i].getBoundingClientRect();
    if (Math.abs(box.top - start.top) < 4) continue;
    top ??= box.top;
    if (Math.abs(box.top - top) >= 4) break;
    const far = Math.abs(box.left - start.left);
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

// Where a key of the keyboard leads from a token, or null: arrows, Home, End.
export function tokenStep(spans, now, key) {
  const last = spans.length - 1;
  const to = {
    ArrowLeft: () => now - 1,
    ArrowRight: () => now + 1,
    Home: () => 0,
    End: () => last,
    ArrowUp: () => lineStep(spans, now, -1),
    ArrowDown: () => lineStep(spans, now, 1),
  }[key];
  return to ? Math.max(0, Math.min(last, to())) : null;
}
