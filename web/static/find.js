// Find a head: a question in words with two places to fill, a query and a key, and the text to fill them from. The answer is
// the list beside the grid, and the light on the grid.

import { formatSpan, parseSpan } from './between.js';
import { h } from './dom.js';
import { sentence } from './format.js';
import { crossings, partName } from './input.js';
import { SpanText } from './span_text.js';
import { label } from './tokens.js';

const LONGEST = 34; // characters of a span in the question

export function watchFind(store, panel) {
  let slot = 'from';
  const fill = (which) => {
    slot = which;
    draw(store.state);
    text.box.focus({ preventScroll: true });
  };
  const place = (which) => h('button', { type: 'button', class: `slot ${which}`, onclick: () => fill(which) });
  const from = place('from');
  const to = place('to');
  const swap = h('button', { type: 'button', class: 'plain small', onclick: () => exchange() }, 'Swap');
  const clear = h('button', { type: 'button', class: 'plain small', onclick: () => reset() }, 'Clear');
  const parts = h('p', { class: 'find-parts' });
  const hint = h('p', { class: 'soft find-hint', 'aria-live': 'polite' });
  const box = h('div', { class: 'text-place' });
  panel.append(
    h('div', { class: 'find-top' }, h('p', { class: 'question' }, 'Which heads attend from ', from, ' to ', to, ' ?'), h('span', { class: 'spring' }), swap, clear),
    parts,
    box,
    hint,
  );
  const text = new SpanText(box, (range) => {
    const chosen = slot;
    if (chosen === 'from') slot = 'to'; // and then keys, one after another
    const last = chosen === 'from' ? { query: range[1] - 1, side: 'reads' } : {}; // the open head shows this row
    store.set({ [chosen]: formatSpan(range), rank: keepRank(store.state.rank), ...last });
    draw(store.state);
  });

  const keepRank = (rank) => (rank?.startsWith('between.') ? rank : null);

  function exchange() {
    store.set({ from: store.state.to, to: store.state.from });
  }
  function reset() {
    slot = 'from';
    store.set({ from: null, to: null, rank: keepRank(store.state.rank) });
  }

  store.listen((state, changed) => {
    const shown = state.view === 'find' && Boolean(state.analysis?.pieces.length);
    panel.hidden = !shown;
    if (!shown || !changed.has('analysis', 'view', 'from', 'to', 'between', 'betweenError')) return;
    if (changed.has('view', 'analysis')) suggest(state.analysis);
    if (changed.has('view', 'analysis')) slot = state.from && !state.to ? 'to' : slot;
    draw(state);
  });

  // Of a pair or a chat: what one part reads of another.
  function suggest(a) {
    const words = ({ name, first }) => h('bdi', {}, a.segments.filter((s) => s.name === name).length > 1 ? `${partName(name)}\u202f${first}` : partName(name));
    parts.replaceChildren(
      ...crossings(a.segments, a.causal).map(([reader, read]) =>
        h(
          'button',
          {
            type: 'button',
            class: 'quiet small',
            onclick: () =>
              store.set({ from: formatSpan([reader.first, reader.end]), to: formatSpan([read.first, read.end]), rank: keepRank(store.state.rank) }),
          },
          words(reader),
          ' \u2192 ',
          words(read),
        ),
      ),
    );
  }

  function draw(state) {
    const a = state.analysis;
    const [q, k] = [parseSpan(state.from, a.n), parseSpan(state.to, a.keys)];
    name(from, a, q, 'any token', slot === 'from');
    name(to, a, k, 'a token', slot === 'to');
    swap.hidden = !(q && k);
    clear.hidden = !(q || k);
    text.show(a, slot, q, k);
    hint.textContent = words(state, a, q, k);
  }

  function name(button, a, range, otherwise, active) {
    const chosen = range && h('bdi', {}, `\u201c${spanWords(a, range)}\u201d`);
    const at = range && h('small', {}, range[1] - range[0] > 1 ? `${range[0]}\u2013${range[1] - 1}` : String(range[0]));
    button.replaceChildren(...(range ? [chosen, at] : [otherwise]));
    button.classList.toggle('active', active);
    button.setAttribute('aria-pressed', String(active));
  }

  function words(state, a, q, k) {
    if (state.betweenError) {
      const missing = state.betweenError.status === 404;
      return missing ? 'This server does not answer questions between tokens yet.' : sentence(state.betweenError.detail);
    }
    if (a.causal && q && k && k[0] >= q[1]) return 'The key comes after the query: no head of this model can look ahead. Swap them?';
    if (!q && !k) return 'Choose a query in the text: click a token, or drag over several. Then choose what it reads.';
    if (!k) return 'Now choose the key: the token, or the words, that it may read.';
    const rows = state.between?.rows ?? 0;
    if (!state.between) return '\u2026';
    const few = rows < 20 ? ` It stands on ${rows === 1 ? 'one row' : `${rows} rows`}: what happened here, not a habit.` : '';
    const lift = state.between.profile
      ? 'Lift: the weight without sinks, less what the head gives keys at this distance on ordinary text.'
      : 'The probes of this model are not done: the second number is the weight above an even spread, not yet the lift.';
    return `${lift}${few}`;
  }
}

function spanWords(a, [first, end]) {
  const text = a.pieces
    .slice(first, Math.min(end, first + 40))
    .map((p) => p.gap + (p.special ? p.text : p.text.replace(/\s+/g, ' ')))
    .join('')
    .trim();
  if (!text) return label(a.pieces[first]);
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}\u2026` : text;
}
