// The text read by the open head, and the strongest keys of the chosen query (or queries of the chosen key) as bars.

import { h, segments } from './dom.js';
import { figures } from './figures.js';
import { percent, weight } from './format.js';
import { chosen, pin } from './open_head.js';
import { RowStrip } from './row_strip.js';
import { headTypes } from './type_chips.js';
import { TextView } from './text_view.js';
import { naming } from './tokens.js';

const LENGTH = 10;
const VALUES = 'Each weight times the length of what its key gives, beside the largest of the map.';
const LEAST = 0.0005; // weights below are named only where there are no larger ones
// The parts of the state that this panel shows.
const MATTERS =
  'analysis row open side sinks layer head query autoQuery autoKey hoverQuery hoverKey scale theme mapError'.split(' ');

// actions: { define(name), find(queries, keys) }
export function watchReading(store, panel, actions) {
  const side = segments(
    'Direction',
    [
      ['reads', 'What it reads'],
      ['readers', 'Who reads it'],
    ],
    (v) => store.set({ side: v, hoverQuery: null, hoverKey: null }),
  );
  const title = h('p', { class: 'reading-title' });
  const release = h('button', { type: 'button', class: 'plain small', onclick: () => store.set({ query: null }) }, 'Let go');
  const place = h('div', { class: 'text-place' });
  const strip = h('div', { class: 'strip-place' });
  const list = h('ol', { class: 'weights' });
  const rest = h('p', { class: 'soft rest' });
  const wider = h('button', { type: 'button', class: 'quiet small wider', hidden: true });
  panel.append(
    h('div', { class: 'reading-top' }, title, release, h('span', { class: 'spring' }), side),
    headTypes(store, actions),
    place,
    h('div', { class: 'weights-box' }, strip, list, rest, wider),
    figures(store, actions),
    h(
      'p',
      { class: 'soft honest' },
      'Attention shows where this head reads, not why. What it does with what it reads is not in these numbers.',
    ),
  );
  new TextView(store, place);
  // Pointing at the strip points at the other end of a weight: the key of a query, the query of a key.
  const row = new RowStrip(strip, {
    hover: (token) =>
      store.set(
        store.state.side === 'reads'
          ? { hoverKey: token, hoverQuery: token === null ? null : chosen(store.state) }
          : { hoverQuery: token, hoverKey: token === null ? null : chosen(store.state) },
      ),
    pin: (token) => token !== null && pin(store, token, store.state.side === 'reads' ? 'keys' : 'queries'),
  });

  store.listen((state, changed) => {
    if (!changed.has(...MATTERS)) return;
    side.choose(state.side);
    release.hidden = state.query === null;
    drawTitle(state);
    drawList(state);
  });

  function drawTitle(state) {
    const token = chosen(state);
    title.replaceChildren();
    if (token === null || state.layer === null) return void title.append('The text');
    const reads = state.side === 'reads';
    const { text, place: at } = naming((reads ? state.analysis.pieces : state.analysis.keyPieces)[token], token);
    title.append(
      reads ? 'What ' : 'Who attends to ',
      h('span', { class: reads ? 'swatch-query' : 'swatch-key' }, h('bdi', {}, `\u201c${text}\u201d`), `\u202f${at}`),
      reads ? ` ${state.weighting === 'value' ? 'gets' : 'attends to'}, in ${state.layer}.${state.head}` : `, in ${state.layer}.${state.head}`,
    );
  }

  function drawList(state) {
    const { row: found, open, analysis: a, side: kind } = state;
    const usable = found && found.open === open && found.side === kind && a;
    panel.classList.toggle('waiting', !usable && Boolean(open));
    if (!usable) {
      if (open && !state.mapError) return;
      list.replaceChildren();
      wider.hidden = true;
      rest.textContent = state.mapError ? 'There is nothing to list without the exact weights.' : '';
      return row.show(null);
    }
    const reads = kind === 'reads';
    list.classList.toggle('readers', !reads);
    const hidden = new Set(reads && state.sinks === 'hidden' ? a.excluded : []);
    const { best, shown, sunk, more } = strongest(found.data, hidden, LENGTH, LEAST);
    row.show({
      data: found.data,
      token: a.section === 'cross' ? null : found.token,
      reads,
      hidden,
      scale: state.scale,
      mark: reads ? state.hoverKey : state.hoverQuery,
    });
    list.replaceChildren(...best.map(([token, w]) => line(a, reads, token, w, best[0][1])));
    rest.textContent =
      state.weighting === 'value' ? VALUES : restWords(reads, { shown, sunk, more, hidden: hidden.size });
    invite(a, reads, found.token, best[0]);
  }

  // From what this head reads to the heads that read the same.
  function invite(a, reads, token, strongest) {
    wider.hidden = !strongest || a.section === 'cross';
    if (!strongest) return;
    const [query, key] = reads ? [token, strongest[0]] : [strongest[0], token];
    const name = (kind, i) => h('span', { class: `swatch-${kind}` }, h('bdi', {}, `\u201c${naming((kind === 'key' ? a.keyPieces : a.pieces)[i], i).text}\u201d`));
    wider.replaceChildren('Which heads read ', name('key', key), ' from ', name('query', query), '?');
    wider.onclick = () => actions.find([query, query + 1], [key, key + 1]);
  }

  function line(a, reads, token, w, most) {
    const { text, place: at } = naming((reads ? a.keyPieces : a.pieces)[token], token);
    const fill = h('i', {});
    fill.style.width = `${Math.max(0.4, (100 * w) / Math.max(most, 0.25))}%`;
    return h(
      'li',
      {},
      h(
        'button',
        {
          type: 'button',
          title: 'Choose this token',
          onclick: () => pin(store, token, reads ? 'keys' : 'queries'),
        },
        h('span', { class: 'token' }, h('bdi', {}, `\u201c${text}\u201d`), h('small', {}, at)),
        h('span', { class: 'track' }, fill),
        h('span', { class: 'value' }, weight(w)),
      ),
    );
  }
}

// The largest of a row or column, those in `hidden` left out: [[token, weight], ...], their sum, the sum of the hidden ones,
// and how many others have any weight. Past the third, those below `least` count as others.
export function strongest(data, hidden, length, least) {
  let sunk = 0;
  let others = 0;
  const best = [];
  for (let i = 0; i < data.length; i++) {
    const w = data[i];
    if (hidden.has(i)) {
      sunk += w;
      continue;
    }
    if (!(w > 0)) continue;
    others++;
    if (best.length === length && w <= best[length - 1][1]) continue;
    const at = best.findIndex(([, v]) => v < w);
    best.splice(at < 0 ? best.length : at, 0, [i, w]);
    if (best.length > length) best.pop();
  }
  while (best.length > 3 && best[best.length - 1][1] < least) best.pop();
  const shown = best.reduce((sum, [, w]) => sum + w, 0);
  return { best, shown, sunk, more: others - best.length };
}

function restWords(reads, { shown, sunk, more, hidden }) {
  const words = [];
  if (reads && hidden) words.push(`The sinks hold ${percent(sunk)} of this row, hidden here.`);
  if (reads && more > 0)
    words.push(`${more.toLocaleString('en-GB')} other keys share ${percent(Math.max(0, 1 - sunk - shown))}.`);
  if (!reads && more > 0) words.push(`${more.toLocaleString('en-GB')} other queries attend to it less.`);
  return words.join(' ');
}
