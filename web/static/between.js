// What goes from the chosen queries to the chosen keys, in every head: asked when the choice changes, kept in the store as
// `between` ({ name, items, profile, rows }), or as `betweenError`. A span is written a:b, half-open, as in the address.

import * as api from './api.js';

const WAIT = 60; // ms: a choice that is still moving is not asked for

export function parseSpan(text, n = Infinity) {
  const found = /^(\d{1,6}):(\d{1,6})$/.exec(text ?? '');
  if (!found) return null;
  const [a, b] = [Number(found[1]), Math.min(n, Number(found[2]))];
  return a < b ? [a, b] : null;
}

export const formatSpan = ([a, b]) => `${a}:${b}`;

// The queries that a choice stands for: those that were chosen, else all that see a key of the span.
export function queriesOf(analysis, from, to) {
  return from ?? (analysis.causal ? [to[0], analysis.n] : [0, analysis.n]);
}

export function watchBetween(store) {
  let wanted = '';
  let abort = null;
  let timer = 0;

  store.listen((state, changed) => {
    if (!changed.has('analysis', 'phase', 'from', 'to', 'view')) return;
    const a = state.analysis;
    const to = a ? parseSpan(state.to, a.keys) : null;
    const asked = state.view === 'find' && a?.done && to;
    const queries = asked ? queriesOf(a, parseSpan(state.from, a.n), to) : null;
    const name = asked ? `${a.id} ${a.section} ${formatSpan(queries)} ${formatSpan(to)}` : '';
    if (name === wanted) return;
    wanted = name;
    clearTimeout(timer);
    abort?.abort();
    if (!name) return store.set({ between: null, betweenError: null });
    timer = setTimeout(() => ask(name, a.where, queries, to), WAIT);
  });

  async function ask(name, where, queries, keys) {
    abort = new AbortController();
    try {
      const { items, offset_profile: profile } = await api.between(where, queries, keys, abort.signal);
      if (name === wanted) store.set({ between: { name, items, profile: profile ?? null, rows: Math.max(0, ...items.map((i) => i.rows ?? 0)) }, betweenError: null });
    } catch (error) {
      if (name === wanted && error.kind !== 'aborted') store.set({ between: null, betweenError: error });
    }
  }
}
