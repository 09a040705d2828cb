// Problems in words, in the page: what happened, what to do, and a button where trying again may help.

import { byId, h } from './dom.js';

export function watchNotices(store, retry) {
  const box = byId('notice');
  store.listen((state, changed) => {
    if (!changed.has('problem', 'models', 'trouble')) return;
    const shown = state.problem || state.trouble || absence(state);
    box.hidden = !shown;
    box.replaceChildren();
    if (!shown) return;
    box.append(h('div', {}, h('strong', {}, shown.title), h('p', {}, ...words(shown.detail))));
    if (shown.again) box.append(h('button', { type: 'button', class: 'quiet', onclick: retry }, 'Try again'));
    box.append(
      state.problem || state.trouble
        ? h('button', { type: 'button', class: 'plain', onclick: () => store.set({ problem: null, trouble: null }) }, 'Dismiss')
        : '',
    );
  });
}

// A page without a model still opens the analyses that are kept.
function absence({ models }) {
  if (!models || models.some((m) => !m.error)) return null;
  const broken = models.filter((m) => m.error);
  return {
    title: broken.length ? 'No model can be used' : 'No model yet',
    detail: [
      ...broken.map((m) => `${m.name || m.id}: ${m.error} `),
      'Run `scripts/fetch_model smollm2-135m-instruct` in the headscope folder (98 MB), then load this page again. ',
      'Analyses that were made before open without a model.',
    ].join(''),
  };
}

// `words in backticks` become code.
function words(text) {
  return text.split('`').map((part, i) => (i % 2 ? h('code', {}, part) : part));
}
