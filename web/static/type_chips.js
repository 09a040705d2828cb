// Types as chips: those of the open head over its text, and those of the model over the grid, where one leaves only its heads in
// the light. While probes run it says how far they are.

import { h } from './dom.js';
import { hereWords, meaningOf, typeColour, typeCounts, typesOf } from './types.js';

const MATTERS = ['analysis', 'atlas', 'layer', 'head', 'theme'];

function swatch(state, type) {
  const mark = h('i', {});
  const colour = typeColour(state, type);
  if (colour) mark.style.background = colour;
  return mark;
}

function progressWords({ atlas }) {
  const { done, total, running } = atlas.progress;
  if (done >= total) return '';
  return running ? `Probing this model: ${done} of ${total}. Texts go first.` : `${done} of ${total} probes are done; the rest runs when nothing else does.`;
}

// The chips of the open head. actions: { define(name) }
export function headTypes(store, actions) {
  const box = h('div', { class: 'chips', 'aria-label': 'Types of this head' });
  store.listen((state, changed) => {
    if (!changed.has(...MATTERS)) return;
    const { analysis: a, atlas, layer, head } = state;
    box.hidden = !atlas || layer === null || !a || Boolean(a.section);
    if (box.hidden) return;
    const types = typesOf(state, layer, head);
    box.replaceChildren(
      ...types.map((t) => {
        const here = hereWords(state, t.type, layer, head);
        const name = t.type === 'positional' && t.offset !== undefined ? `positional, ${t.offset} back` : t.type;
        return h(
          'button',
          {
            type: 'button',
            class: `chip ${t.strength}`,
            title: `${t.strength} ${t.type} head: ${meaningOf(t.type)}. ${t.score.toFixed(2)} on the ${t.probe} probe, threshold ${t.threshold}.`,
            onclick: () => actions.define(t.type),
          },
          swatch(state, t.type),
          h('b', {}, name),
          ` ${t.score.toFixed(2)}`,
          here && h('span', {}, here),
        );
      }),
      types.length ? '' : h('span', { class: 'soft' }, progressWords(state) || 'No type stands out in the probes.'),
    );
  });
  return box;
}

// The row over the grid.
export function watchTypes(store, row) {
  store.listen((state, changed) => {
    if (!changed.has('analysis', 'atlas', 'type', 'view', 'theme')) return;
    const { atlas, analysis: a, view, type } = state;
    const counts = atlas && a && !a.section ? typeCounts(state) : [];
    row.hidden = !atlas || !a || Boolean(a.section) || !['heads', 'find'].includes(view) || (!counts.length && !progressWords(state));
    if (row.hidden) return;
    row.replaceChildren(
      ...(counts.length ? [h('span', { class: 'soft' }, 'From probes')] : []),
      ...counts.map(([name, count]) =>
        h(
          'button',
          {
            type: 'button',
            class: 'chip',
            'aria-pressed': String(type === name),
            title: `${count} heads ${meaningOf(name)}. ${type === name ? 'Show all again' : 'Leave only these in the light'}`,
            onclick: () => store.set({ type: type === name ? null : name }),
          },
          swatch(state, name),
          `${name} `,
          h('span', {}, String(count)),
        ),
      ),
      h('span', { class: 'soft' }, progressWords(state)),
    );
  });
}
