// Syntax, from a parse that the reader brings: which heads look along which relation, beside the best fixed offset.

import * as api from './api.js';
import { h } from './dom.js';
import { sentence } from './format.js';

const ENOUGH = 100; // cases; fewer prove nothing
const PLACE = '1\tThe\tthe\tDET\t_\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\t_\t_\t3\tnsubj\t_\t_\n\u2026';

export function watchSyntax(store, panel, choose) {
  const field = h('textarea', { rows: 6, spellcheck: 'false', placeholder: PLACE, 'aria-label': 'Parse in CoNLL-U' });
  const go = h('button', { type: 'submit', class: 'primary' }, 'Measure');
  const words = h('p', { class: 'soft', role: 'status' });
  const table = h('table', {});
  const form = h(
    'form',
    { class: 'compare-form' },
    h('p', { class: 'question' }, 'Which heads follow the grammar?', h('small', {}, 'Paste a parse of this very text in CoNLL-U. No parser is built in: what counts as right is yours to say.')),
    h('div', { class: 'compare-field' }, field, go),
  );
  panel.append(form, words, h('div', { class: 'table-box', tabindex: 0, role: 'region', 'aria-label': 'Relations' }, table));

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const a = store.state.analysis;
    go.disabled = true;
    say('Measuring \u2026');
    try {
      const found = await api.syntax(a.where, field.value);
      if (store.state.analysis !== a) return;
      found.relations.sort((x, y) => y.cases - x.cases || x.relation.localeCompare(y.relation));
      store.set({ syntax: { ...found, analysis: a }, relation: null });
      say(`${found.words} words in ${found.sentences} ${found.sentences === 1 ? 'sentence' : 'sentences'}. A relation with fewer than ${ENOUGH} cases proves nothing; the offset is the best one, chosen afterwards.`);
    } catch (error) {
      say(error.status === 404 ? 'This server does not measure syntax yet.' : sentence(error.detail));
    } finally {
      go.disabled = false;
    }
  });

  store.listen((state, changed) => {
    panel.hidden = state.view !== 'syntax' || !state.analysis?.done;
    if (changed.has('analysis') && state.syntax && state.syntax.analysis !== state.analysis) {
      store.set({ syntax: null, relation: null });
      say('');
    }
    if (!panel.hidden && changed.has('syntax', 'relation', 'view')) draw(state);
  });

  function say(text) {
    words.textContent = text;
    words.hidden = !text;
  }

  function draw({ syntax, relation }) {
    table.parentElement.hidden = !syntax;
    if (!syntax) return;
    const head = ['Relation', 'from \u2192 to', 'Cases', 'Best head', 'Right', 'Best offset', 'Right', 'Above it'];
    table.replaceChildren(
      h('thead', {}, h('tr', {}, head.map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', {}, syntax.relations.map((r, i) => row(r, i, i === relation))),
    );
  }

  function row(r, i, on) {
    const { best, baseline } = r;
    const open = () => {
      store.set({ relation: i, paint: 'maps' });
      if (best) choose(best.layer, best.head);
    };
    const share = (v) => (typeof v === 'number' ? v.toFixed(2) : '\u2013');
    const margin = best && baseline ? best.accuracy - baseline.accuracy : null;
    return h(
      'tr',
      { class: [r.cases < ENOUGH && 'thin', on && 'on'].filter(Boolean).join(' ') || null },
      h('th', { scope: 'row' }, h('button', { type: 'button', class: 'plain small', 'aria-pressed': String(on), onclick: open }, r.relation)),
      h('td', {}, r.direction === 'to_head' ? 'dependent \u2192 head' : 'head \u2192 dependent'),
      h('td', {}, String(r.cases)),
      h('td', {}, best ? `${best.layer}.${best.head}` : '\u2013'),
      h('td', {}, share(best?.accuracy)),
      h('td', {}, baseline?.offset > 0 ? `+${baseline.offset}` : String(baseline?.offset ?? '\u2013').replace('-', '\u2212')),
      h('td', {}, share(baseline?.accuracy)),
      h('td', {}, margin === null ? '\u2013' : `${margin < 0 ? '\u2212' : '+'}${Math.abs(margin).toFixed(2)}`),
    );
  }
}
