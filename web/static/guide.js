// The guide: what is what, the keys, and what every number means, made from the table of statistics.

import { byId, h } from './dom.js';
import { closeOnBackdrop } from './history.js';
import { ROWS_MIN, STATISTICS } from './statistics.js';
import { typeMeanings } from './types.js';

const LIFT =
  'What a head does beyond its habit of distance: the observed share without sinks, less what its mean weight at each distance on ordinary text predicts. ' +
  'The interval is of 95 %, from drawing blocks of queries again and again.';

const KEYS = [
  [['Ctrl', 'Enter'], 'analyse the text (on a Mac also \u2318 Enter)'],
  [['\u2190', '\u2191', '\u2192', '\u2193'], 'in the grid: move among heads; in the map or the text: move among tokens'],
  [['Home', 'End'], 'in the grid: first and last layer; in the text: first and last token'],
  [['+', '\u2212', '0'], 'in the map: closer, further, all of it'],
  [['Enter'], 'in the map or the text: pin the token as the query'],
  [['Esc'], 'let go of the pinned token; close this'],
];

export function setUpGuide() {
  const dialog = byId('guide');
  const entries = new Map();
  const terms = h(
    'dl',
    { class: 'terms' },
    STATISTICS.map((s) => {
      const term = h('dt', {}, s.label, h('small', {}, s.name));
      const meaning = h('dd', {}, s.means + (s.absent ? ` No value where ${s.absent}.` : ''));
      entries.set(s.name, [term, meaning]);
      return [term, meaning];
    }),
  );
  const types = h(
    'dl',
    { class: 'terms' },
    [...typeMeanings(), ['lift', LIFT]].map(([name, means]) => {
      const pair = [h('dt', {}, name), h('dd', {}, `${means.charAt(0).toUpperCase()}${means.slice(1)}${means.endsWith('.') ? '' : '.'}`)];
      entries.set(name, pair);
      return pair;
    }),
  );
  dialog.append(
    h(
      'header',
      {},
      h('h2', { id: 'guide-title' }, 'Guide'),
      h('button', { type: 'button', class: 'plain', onclick: () => dialog.close() }, 'Close'),
    ),
    h(
      'div',
      { tabindex: 0 },
      h('h3', {}, 'What you see'),
      h(
        'p',
        {},
        'A model reads a text in layers. In each layer every head lets each token look at the tokens it may see, and spreads a weight of 1 over them. ' +
          'The grid shows all heads: one column a layer, one row a head. A head is written layer.head, counted from 0.',
      ),
      h(
        'p',
        {},
        'A map has one row for each token that looks, the ',
        h('span', { class: 'swatch-query' }, 'query'),
        ', and one column for each token looked at, the ',
        h('span', { class: 'swatch-key' }, 'key'),
        '. The darker a cell (in the dark: the brighter), the more weight.',
      ),
      h(
        'p',
        {},
        'Many heads park most of their weight on the first token or on special ones when they have nothing to do: these are sinks. They are left out of the picture until you choose ' +
          '\u201cWith sinks\u201d; no weight is changed by it, and what is hidden is said as a number.',
      ),
      h(
        'p',
        {},
        'Attention shows where a head reads, not why, and not what it does with it. A regular map is a reason to look closer, not an explanation.',
      ),
      h('h3', {}, 'Keys'),
      h(
        'dl',
        { class: 'keys' },
        KEYS.map(([keys, what]) => [
          h(
            'dt',
            {},
            keys.map((k) => [h('kbd', {}, k), ' ']),
          ),
          h('dd', {}, what),
        ]),
      ),
      h('h3', { id: 'numbers-of-a-head' }, 'Numbers of a head'),
      h(
        'p',
        { class: 'soft' },
        `\u201cMean\u201d is over the rows of the text, the first one left out. A number that stands on fewer than ${ROWS_MIN} rows is drawn pale. ` +
          'A number that does not apply is a dash, never a zero.',
      ),
      terms,
      h('h3', {}, 'Types of heads'),
      h(
        'p',
        { class: 'soft' },
        'What a head is, from probes: texts made to tell one habit from another, run once a model. A head may have several types, or none. ' +
          'What it did on your text stands beside them, and need not agree.',
      ),
      types,
    ),
  );
  closeOnBackdrop(dialog);

  byId('open-help').addEventListener('click', () => show());

  function show(name) {
    for (const pair of entries.values()) for (const e of pair) e.classList.remove('target');
    if (!dialog.open) dialog.showModal();
    const pair = entries.get(name);
    if (!pair) return void dialog.querySelector('div').scrollTo(0, 0);
    for (const e of pair) e.classList.add('target');
    pair[0].scrollIntoView({ block: 'center' });
  }
  return { show };
}
