// The panel of the map: the head's name, zoom, the value under the pointer, and the map as files.

import * as api from './api.js';
import { h } from './dom.js';
import { sentence, weight } from './format.js';
import { drawWeightLegend } from './legend.js';
import { HeadMap } from './map.js';
import { bandLegend } from './map_bands.js';
import { naming } from './tokens.js';

const HINT = 'Point at the map, or tap it, for a value. A click pins the token.';

export function watchMapPanel(store, panel, actions) {
  const name = h('h2', { class: 'head-name' });
  const button = (words, title, onclick) =>
    h('button', { type: 'button', class: 'quiet small', title, 'aria-label': title, onclick }, words);
  const closer = button('+', 'Closer', () => map.zoom(1.6));
  const further = button('\u2212', 'Further', () => map.zoom(1 / 1.6));
  const all = button('All', 'The whole map', () => map.fit());
  const content = button('Brightest', 'Zoom to where this head reads most', () => {
    const view = map.content();
    if (view) map.setView(view);
  });
  const legend = h('div', { class: 'legend' });
  const place = h('div', { class: 'map-place' });
  const readout = h('p', { class: 'readout', 'aria-live': 'polite' });
  const bands = h('p', { class: 'bands' });
  const words = h('p', { class: 'soft map-words' });
  const files = h('p', { class: 'files' });
  panel.append(
    h(
      'div',
      { class: 'map-top' },
      name,
      h('span', { class: 'soft' }, 'attention map'),
      legend,
      h('span', { class: 'spring' }),
      content,
      all,
      further,
      closer,
    ),
    place,
    readout,
    bands,
    words,
    files,
  );
  const map = new HeadMap(store, place, () => buttons());

  function buttons() {
    all.disabled = further.disabled = map.fitted;
    closer.disabled = map.view.span <= 6.001;
    content.hidden = !map.content();
  }

  let sequence = 0;
  store.listen((state, changed) => {
    if (changed.has('layer', 'head', 'analysis', 'phase')) {
      const known = state.layer !== null;
      name.textContent = known ? `${state.layer}.${state.head}` : '';
      if (map.analysis) buttons();
      listFiles(state);
    }
    if (changed.has('layer', 'head', 'pool')) buttons();
    if (changed.has('analysis', 'scale', 'theme')) drawWeightLegend(legend, state);
    if (changed.has('analysis')) bands.replaceChildren(...(state.analysis ? bandLegend(state.analysis) : []));
    if (changed.has('hoverQuery', 'hoverKey', 'open', 'row', 'layer', 'head')) tell(state);
    if (changed.has('mapError', 'phase', 'open', 'layer')) explain(state);
  });

  // The exact number, never the eight bits of the picture.
  async function tell(state) {
    const { hoverQuery: query, hoverKey: key, analysis: a, open } = state;
    const mine = ++sequence;
    if (query === null || key === null || !a || !open) {
      return readout.replaceChildren(h('span', { class: 'soft' }, a && !open && state.layer !== null ? '' : HINT));
    }
    const parts = (value) =>
      readout.replaceChildren(
        name2('query', a, query),
        ' attends to ',
        name2('key', a, key),
        h('b', { 'data-value': value ?? '' }, value === null ? '\u2026' : weight(value)),
      );
    const here = open.weights.peek('queries', query);
    parts(here ? here[key] : null);
    if (here) return;
    try {
      const row = await open.weights.row(query);
      if (mine === sequence) parts(row[key]);
    } catch (error) {
      if (mine === sequence && error.kind !== 'aborted') store.set({ mapError: error });
    }
  }

  function name2(kind, a, token) {
    const { text, place: at } = naming((kind === 'key' ? a.keyPieces : a.pieces)[token], token);
    return h('span', { class: `swatch-${kind}` }, h('bdi', {}, `\u201c${text}\u201d`), `\u202f${at}`);
  }

  function explain(state) {
    const { mapError: error, open, layer, phase } = state;
    words.replaceChildren();
    if (error)
      words.append(
        `${sentence(error.detail)} What you see is the thumbnail, enlarged. `,
        h('button', { type: 'button', class: 'quiet small', onclick: actions.retryMap }, 'Try again'),
      );
    else if (layer !== null && !open && phase === 'running')
      words.append('The thumbnail, enlarged; the exact map follows when all layers are done.');
    else if (layer !== null && !open && phase === 'failed')
      words.append('The thumbnail, enlarged; the exact map needs an analysis that has finished.');
    words.hidden = !words.firstChild;
  }

  function listFiles({ analysis: a, layer, head }) {
    files.hidden = !a?.done || layer === null;
    if (files.hidden) return;
    const link = (words2, href) => h('a', { href, download: true }, words2);
    files.replaceChildren(
      'Exact weights: ',
      link('map.npy', api.links.map(a.where, layer, head, 'npy')),
      ' ',
      link('map.png', api.links.map(a.where, layer, head, 'png')),
      ' ',
      link('series.json', api.links.series(a.where, layer, head)),
    );
  }
  return map;
}
