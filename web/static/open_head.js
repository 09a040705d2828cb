// The head that is open: its exact weights, tiles and series, and the row or column of the chosen token. They are set into
// the store as `open`, `row` ({ token, side, data }) and `series`; whoever draws reads them there.

import * as api from './api.js';
import { binOf, binStart } from './layout.js';
import { Tiles } from './tiles.js';
import { HeadWeights } from './weights.js';

// The token that the text, the list and the outlines are about, and what it does: it reads, or it is read.
export function chosen(state) {
  const hover = state.side === 'reads' ? state.hoverQuery : state.hoverKey;
  const token = hover ?? state.query ?? (state.side === 'reads' ? state.autoQuery : state.autoKey) ?? null;
  return token !== null && state.analysis && token < state.analysis.n ? token : null;
}

// The thumbnail knows the bin that is worth showing; the series know the token in it: the query that reads most off the sinks,
// and the key that receives most.
function likely(a, series, { autoQuery, autoKey }) {
  const bins = Math.min(48, a.n);
  const best = (from, score) => {
    const bin = binOf(from, a.n, bins);
    let at = from;
    for (let i = binStart(bin, a.n, bins); i < binStart(bin + 1, a.n, bins); i++) if (score(i) > score(at)) at = i;
    return at;
  };
  const excluded = new Set(a.excluded);
  return {
    autoQuery: best(autoQuery, (i) => -(series.sink_mass[i] ?? 1)),
    autoKey: best(autoKey, (i) => (excluded.has(i) ? -1 : (series.received[i] ?? -1))),
  };
}

export function watchOpenHead(store) {
  let wanted = '';

  store.listen((state, changed) => {
    if (changed.has('layer', 'head', 'analysis', 'phase')) swap(state);
    if (changed.has('open', 'side', 'hoverQuery', 'hoverKey', 'query', 'autoQuery')) fetchLine(store.state);
  });

  function swap(state) {
    const a = state.analysis;
    const readable = a?.done && state.layer !== null && state.layer < a.layers && state.head < a.heads;
    const { open } = state;
    if (open && readable && open.analysis === a && open.layer === state.layer && open.head === state.head) return;
    open?.weights.close();
    open?.tiles.close();
    const known = state.layer !== null && a?.thumbs[state.layer] && state.head < a.heads;
    store.set({
      mapError: null,
      autoQuery: known ? a.likelyQuery(state.layer, state.head) : null,
      autoKey: known ? a.likelyKey(state.layer, state.head) : null,
    });
    if (!readable) return store.set({ open: null, row: null, series: null });
    const { layer, head } = state;
    const next = {
      analysis: a,
      layer,
      head,
      weights: new HeadWeights(a.id, layer, head, a.n),
      tiles: new Tiles(a.id, layer, head, (error) => {
        if (store.state.open !== next) return;
        if (error) store.set({ mapError: error });
        else store.touch('tiles');
      }),
    };
    wanted = '';
    store.set({ open: next, row: null, series: null });
    api.series(a.id, layer, head).then(
      (series) => store.state.open === next && store.set({ series, ...likely(a, series, store.state) }),
      (error) => store.state.open === next && error.kind !== 'aborted' && store.set({ mapError: error }),
    );
  }

  async function fetchLine(state) {
    const { open, side } = state;
    const token = chosen(state);
    if (!open || token === null) return;
    const name = `${open.layer}.${open.head}/${side}/${token}`;
    if (wanted === name) return;
    wanted = name;
    const axis = side === 'reads' ? 'queries' : 'keys';
    let data = open.weights.peek(axis, token);
    try {
      data ||= await (side === 'reads' ? open.weights.row(token) : open.weights.column(token));
      if (wanted === name && store.state.open === open) store.set({ row: { token, side, data, open } });
    } catch (error) {
      if (wanted === name) wanted = '';
      if (error.kind !== 'aborted' && store.state.open === open) store.set({ mapError: error });
    }
  }
}
