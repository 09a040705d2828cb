// The number under the pointer in a map, in words: exact, never the eight bits of the picture.

import { h } from './dom.js';
import { weight } from './format.js';
import { naming } from './tokens.js';

export function nameToken(kind, a, token) {
  const { text, place } = naming((kind === 'key' ? a.keyPieces : a.pieces)[token], token);
  return h('span', { class: `swatch-${kind}` }, h('bdi', {}, `\u201c${text}\u201d`), `\u202f${place}`);
}

// hint: what stands there while nothing is pointed at; say(state): { verb, number(value) }
export function watchReadout(store, element, hint, say = () => ({ verb: ' attends to ', number: weight })) {
  let sequence = 0;
  store.listen((state, changed) => {
    if (changed.has('hoverQuery', 'hoverKey', 'open', 'row', 'layer', 'head')) tell(state);
  });

  async function tell(state) {
    const { hoverQuery: query, hoverKey: key, analysis: a, open } = state;
    const mine = ++sequence;
    if (query === null || key === null || !a || !open) {
      return element.replaceChildren(h('span', { class: 'soft' }, a && !open && state.layer !== null ? '' : hint));
    }
    const { verb, number } = say(state);
    const parts = (value) =>
      element.replaceChildren(
        nameToken('query', a, query),
        verb,
        nameToken('key', a, key),
        h('b', { 'data-value': value ?? '' }, value === null ? '\u2026' : number(value)),
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
}
