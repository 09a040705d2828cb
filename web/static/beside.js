// Two heads side by side: a second head of the same analysis, chosen in the grid with Shift, or with the button and a click.

import { h } from './dom.js';
import { MapCard } from './map_card.js';
import { watchOpenHead } from './open_head.js';
import { OverlayStore } from './overlay_store.js';

const OWN = { layer: null, head: null, open: null, row: null, series: null, mapError: null, autoQuery: null, autoKey: null };

export function parseHead(text, analysis) {
  const found = /^(\d+)\.(\d+)$/.exec(text ?? '');
  if (!found || !analysis) return null;
  const [layer, head] = [Number(found[1]), Number(found[2])];
  return layer < analysis.layers && head < analysis.heads ? { layer, head } : null;
}

export function watchBeside(main, panel) {
  const store = new OverlayStore(main, { ...OWN });
  watchOpenHead(store);
  const close = h('button', { type: 'button', class: 'plain small', onclick: () => main.set({ beside: null }) }, 'Close');
  const card = new MapCard(store, panel, { hint: 'Point at either map: both show the same two tokens.', extra: [close] });
  main.listen((state, changed) => {
    if (!changed.has('beside', 'analysis', 'view', 'comparison')) return;
    const head = state.view === 'compare' && state.comparison ? null : parseHead(state.beside, state.analysis);
    panel.hidden = !head;
    document.getElementById('head').classList.toggle('pair', Boolean(head));
    card.name.textContent = head ? state.beside : '';
    store.set({ layer: head?.layer ?? null, head: head?.head ?? null });
  });
}
