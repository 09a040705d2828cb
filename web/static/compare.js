// Compare: a second text beside this one, typed or taken from the history, and what corresponds between the two.

import * as api from './api.js';
import { h } from './dom.js';
import { sentence } from './format.js';
import { pieces } from './tokens.js';

export function watchCompare(store, panel) {
  const field = h('textarea', { rows: 2, spellcheck: 'false', 'aria-label': 'The other text' });
  const go = h('button', { type: 'submit', class: 'primary' }, 'Compare');
  const past = h('ul', { class: 'past' });
  const words = h('p', { class: 'soft', role: 'status' });
  const form = h(
    'form',
    { class: 'compare-form' },
    h('p', { class: 'question' }, 'What does another text change?', h('small', {}, 'Change a word or two, and see which heads notice.')),
    h('div', { class: 'compare-field' }, field, go),
    past,
  );
  const first = h('p', { class: 'compare-text', dir: 'auto' });
  const second = h('p', { class: 'compare-text', dir: 'auto' });
  const other = h('button', { type: 'button', class: 'plain small', onclick: () => store.set({ against: null }) }, 'Another text');
  const both = h('div', { class: 'compare-both' }, h('span', {}, 'this'), first, h('span', {}, 'other'), second);
  panel.append(form, both, h('div', { class: 'find-top' }, words, h('span', { class: 'spring' }), other));
  let wanted = '';
  let listed = null;
  let asked = null; // the other text that was chosen here, not by a link
  const choose = (id) => {
    asked = id;
    store.set({ against: id });
  };

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const a = store.state.analysis;
    if (!field.value || field.value === a.text) return say('Both texts are the same: change something first.');
    go.disabled = true;
    say('Running the other text \u2026');
    try {
      let id = null;
      await api.analyse(a.model.id, { text: field.value }, (line) => (id = line.id ?? id));
      choose(id);
    } catch (error) {
      say(sentence(error.detail));
    } finally {
      go.disabled = false;
    }
  });

  store.listen((state, changed) => {
    const a = state.analysis;
    panel.hidden = state.view !== 'compare' || !a?.done;
    const name = state.against && a?.done ? `${a.id} ${state.against}` : '';
    if (name !== wanted && (!panel.hidden || !name)) run(name, a, state.against);
    if (panel.hidden || !changed.has('view', 'analysis', 'against', 'comparison')) return;
    form.hidden = Boolean(state.against);
    other.hidden = !state.against;
    both.hidden = !state.comparison;
    if (!state.against && listed !== a) {
      listed = a;
      field.value = a.text ?? '';
      list(a);
    }
  });

  function say(text) {
    words.textContent = text;
    words.hidden = !text;
  }

  async function list(a) {
    past.replaceChildren();
    try {
      const { items } = await api.list(null, 30);
      const fit = items.filter((item) => item.id !== a.id && (item.model?.id ?? item.model) === a.model.id).slice(0, 4);
      past.replaceChildren(
        ...fit.map((item) =>
          h(
            'li',
            {},
            h(
              'button',
              { type: 'button', onclick: () => choose(item.id) },
              h('span', { class: 'excerpt', dir: 'auto' }, (item.excerpt ?? '').replace(/\s+/g, ' ')),
              h('span', { class: 'fact' }, `${item.n_tokens} tokens`),
            ),
          ),
        ),
      );
    } catch {
      // the field is enough
    }
  }

  async function run(name, a, b) {
    wanted = name;
    store.set({ comparison: null });
    say(name ? 'Comparing \u2026' : '');
    if (!name) return;
    try {
      const [found, document] = await Promise.all([api.compare(a.id, b), api.document(b)]);
      if (name !== wanted) return;
      show(first, a.pieces, new Set(found.aligned.map(([i]) => i)));
      show(second, pieces(document.text, document.tokens), new Set(found.aligned.map(([, j]) => j)));
      say(`${found.aligned.length} of ${a.n} and ${document.n_tokens} tokens correspond. Change: the share of attention that goes elsewhere, a mean over ${found.rows} rows.`);
      const most = asked === b ? found.items[0] : null; // open what changes most, unless a link says what to open
      asked = null;
      store.set({ comparison: { ...found, name, b }, ...(most ? { layer: most.layer, head: most.head } : {}) });
    } catch (error) {
      if (name !== wanted) return;
      say(error.status === 404 ? 'The other text is not here any more, or this server does not compare.' : sentence(error.detail));
    }
  }

  // What has no partner in the other text is marked.
  function show(place, all, matched) {
    place.replaceChildren(...all.map((p, i) => h('span', { class: matched.has(i) ? null : 'differs' }, p.text)));
  }
}
