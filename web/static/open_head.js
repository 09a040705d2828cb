// The head that is open: its exact weights, tiles and series, and the row or column of the chosen token. They are set into
// the store as `open`, `row` ({ token, side, data }) and `series`; whoever draws reads them there.

import * as api from './api.js';
import { binOf, binStart } from './layout.js';
import { likelyKey, likelyQuery } from './likely.js';
import { Tiles } from './tiles.js';
import { HeadWeights } from './weights.js';

// The token that the text, the list and the outlines are about, and what it does: it reads, or it is read.
export function chosen(state) {
  const hover = state.side === 'reads' ? state.hoverQuery : state.hoverKey;
  const token = hover ?? state.query ?? (state.side === 'reads' ? state.autoQuery : state.autoKey) ?? null;
  return token !== null && state.analysis && token < (state.side === 'reads' ? state.analysis.n : state.analysis.keys) ? token : null;
}

// Pins a token of one axis. Where both are one text it stays on the side that is looked at; of two texts, the token says which.
export function pin(store, token, axis) {
  const { analysis, side } = store.state;
  const crossed = analysis?.section === 'cross';
  store.set({ query: token, side: crossed ? (axis === 'keys' ? 'readers' : 'reads') : side, hoverQuery: null, hoverKey: null });
}

// The thumbnail knows the bin that is worth showing; the series know the token in it: the query that reads most off the sinks,
// and the key that receives most.
function likely(a, series, { autoQuery, autoKey }) {
  const best = (from, n, score) => {
    const bins = Math.min(48, n);
    const bin = binOf(from, n, bins);
    let at = from;
    for (let i = binStart(bin, n, bins); i < binStart(bin + 1, n, bins); i++) if (score(i) > score(at)) at = i;
    return at;
  };
  const excluded = new Set(a.excluded);
  return {
    autoQuery: best(autoQuery, a.n, (i) => -(series.sink_mass[i] ?? 1)),
    autoKey: best(autoKey, a.keys, (i) => (excluded.has(i) ? -1 : (series.received[i] ?? -1))),
  };
}

export function watchOpenHead(store) {
  let wanted = '';

  store.listen((state, changed) => {
    if (changed.has('layer', 'head', 'analysis', 'phase', 'weighting')) swap(state);
    if (changed.has('open', 'side', 'hoverQuery', 'hoverKey', 'query', 'autoQuery')) fetchLine(store.state);
  });

  function swap(state) {
    const a = state.analysis;
    const readable = a?.done && state.layer !== null && state.layer < a.layers && state.head < a.heads;
    const { open } = state;
    const same = open && open.analysis === a && open.layer === state.layer && open.head === state.head;
    if (same && readable && open.weighting === state.weighting) return;
    open?.weights.close();
    open?.tiles.close();
    const known = state.layer !== null && a?.thumbs[state.layer] && state.head < a.heads;
    store.set({
      mapError: null,
      autoQuery: known ? likelyQuery(a, state.layer, state.head) : null,
      autoKey: known ? likelyKey(a, state.layer, state.head) : null,
    });
    if (!readable) return store.set({ open: null, row: null, series: null });
    const { layer, head, weighting } = state;
    const source = api.mapOf(a.where, layer, head, weighting);
    const next = {
      analysis: a,
      layer,
      head,
      weighting,
      weights: new HeadWeights(source, a.side, weighting === 'value'),
      tiles: new Tiles(source, (error) => {
        if (store.state.open !== next) return;
        if (error) store.set({ mapError: error });
        else store.touch('tiles');
      }),
    };
    wanted = '';
    store.set({ open: next, row: null, series: null });
    api.series(a.where, layer, head).then(
      (series) => store.state.open === next && store.set({ series, ...likely(a, series, store.state) }),
      (error) => store.state.open === next && error.kind !== 'aborted' && store.set({ mapError: error }),
    );
  }

  async function fetchLine(state) {
    const { open, side } = state;
    const token = chosen(state);
    if (!open || token === null) return;
    const name = `${open.layer}.${open.head}/${open.weighting}/${side}/${token}`;
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
