// The map of what another text changes in the open head, over the tokens that correspond: green where the other text has more
// weight, purple where it has less.

import * as api from './api.js';
import { divergingAt } from './colour.js';
import { h } from './dom.js';
import { signed, weight } from './format.js';
import { drawRamp } from './legend.js';
import { MapCard } from './map_card.js';
import { OverlayStore } from './overlay_store.js';
import { Tiles } from './tiles.js';
import { HeadWeights } from './weights.js';

const OWN = { analysis: null, open: null, series: null, mapError: null, sinks: 'shown', pool: 'max', scale: 'sqrt', diverging: true };

// What corresponds, as a text of its own: the tokens of `a` that have a partner.
function correspondence(a, { name, aligned }) {
  return {
    id: name,
    n: aligned.length,
    causal: a.causal,
    pieces: aligned.map(([i]) => a.pieces[i]),
    keyPieces: aligned.map(([i]) => a.pieces[i]),
    keys: aligned.length,
    side: aligned.length,
    section: null,
    excluded: [],
    thumbs: [],
    arrived: 0,
    segments: [],
  };
}

export function watchDifference(main, panel) {
  let places = null; // [the page's token of each aligned one, and back]
  const store = new OverlayStore(main, { ...OWN }, () => places);
  const card = new MapCard(store, panel, {
    hint: 'Point at the map for the change of a weight.',
    say: () => ({ verb: ' to ', number: (v) => `${signed(v).replace(/[\d.]+/, '')}${weight(Math.abs(v))}` }),
  });
  card.note.textContent = 'what changes';
  let shown = '';

  main.listen((state, changed) => {
    if (!changed.has('comparison', 'view', 'layer', 'head', 'theme', 'analysis')) return;
    const { comparison, layer, head, analysis: a } = state;
    const there = state.view === 'compare' && comparison && a && layer !== null;
    panel.hidden = !there;
    document.getElementById('head').classList.toggle('differs', Boolean(there));
    if (!there) return;
    card.name.textContent = `${layer}.${head}`;
    card.legend.replaceChildren(h('span', {}, 'less'), drawRamp((t) => divergingAt(state.theme, 2 * t - 1)), h('span', {}, 'more'));
    const name = `${comparison.name} ${layer}.${head}`;
    if (name === shown) return;
    shown = name;
    store.state.open?.weights.close();
    store.state.open?.tiles.close();
    const analysis = store.state.analysis?.id === comparison.name ? store.state.analysis : correspondence(a, comparison);
    const placeOf = new Map(comparison.aligned.map(([i], place) => [i, place]));
    places = { to: (place) => comparison.aligned[place]?.[0] ?? null, from: (token) => placeOf.get(token) ?? null };
    const source = api.differenceOf(a.id, comparison.b, layer, head);
    const open = {
      analysis,
      layer,
      head,
      weights: new HeadWeights(source, analysis.n),
      tiles: new Tiles(source, (error) => {
        if (store.state.open !== open) return;
        store.set({ mapError: error });
        store.touch('tiles');
      }),
    };
    store.set({ analysis, open, mapError: null });
  });
}
