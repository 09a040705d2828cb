// The panel of the map: the head's name, zoom, the value under the pointer, and the map as files.

import * as api from './api.js';
import { h, segments } from './dom.js';
import { sentence, weight } from './format.js';
import { drawWeightLegend } from './legend.js';
import { HeadMap } from './map.js';
import { bandLegend } from './map_bands.js';
import { watchReadout } from './readout.js';

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
  const weighting = segments(
    'What the map shows',
    [
      ['none', 'Weights', 'Where the head looks'],
      ['value', 'Moved', 'Each weight times the length of what its key gives'],
    ],
    (v) => store.set({ weighting: v }),
  );
  weighting.choose(store.state.weighting);
  const beside = h(
    'button',
    {
      type: 'button',
      class: 'quiet small',
      title: 'Then click a second head in the grid (or click it there with Shift)',
      onclick: () => store.set({ picking: !store.state.picking }),
    },
    'Beside',
  );
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
      weighting,
      legend,
      h('span', { class: 'spring' }),
      beside,
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
  watchReadout(store, readout, HINT, (state) => (state.weighting === 'value' ? { verb: ' gets from ', number: (v) => `${weight(v)} of the largest` } : { verb: ' attends to ', number: weight }));

  function buttons() {
    all.disabled = further.disabled = map.fitted;
    closer.disabled = map.view.span <= 6.001;
    content.hidden = !map.content();
  }

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
    if (changed.has('weighting')) weighting.choose(state.weighting);
    if (changed.has('weighting', 'analysis')) drawWeightLegend(legend, state);
    if (changed.has('picking', 'beside')) beside.setAttribute('aria-pressed', String(state.picking));
    if (changed.has('mapError', 'phase', 'open', 'layer', 'weighting', 'picking')) explain(state);
  });

  function explain(state) {
    const { mapError: error, open, layer, phase } = state;
    words.replaceChildren();
    if (state.picking) words.append('Now click a second head in the grid: its map comes beside this one.');
    else if (!error && open && state.weighting === 'value')
      words.append(
        'Each weight times the length of what its key gives, beside the largest of this map: what is moved, not where the head looks. ' +
          'A large weight on a short value moves little.',
      );
    else if (error)
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
