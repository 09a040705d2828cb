// The row of views: one page, five questions. Heads: what is there. Find: which head does this. Depth: how layers and length
// change what heads do. Groups: which heads do the same. Compare: what another text changes.

import { h } from './dom.js';

export const VIEWS = [
  ['heads', 'Heads', 'All heads on this text'],
  ['find', 'Find a head', 'Which heads read this word from that one?'],
  ['depth', 'Depth', 'What changes from layer to layer, and as the text grows'],
  ['groups', 'Groups', 'Which heads read, or write, the same'],
  ['compare', 'Compare', 'What another text changes'],
  ['syntax', 'Syntax', 'Which heads follow the relations of a parse that you bring'],
];

// What a section of an encoder and a decoder can be asked: comparing and parsing take one text, and between two texts there is no
// one text to choose both ends from, and no position to count along.
export function viewsOf(analysis) {
  const missing = !analysis?.sections ? [] : analysis.section === 'cross' ? ['compare', 'syntax', 'find', 'depth'] : ['compare', 'syntax'];
  return VIEWS.map(([name]) => name).filter((name) => !missing.includes(name));
}

export function watchViews(store, place) {
  const tabs = VIEWS.map(([value, words, title]) =>
    h('button', { type: 'button', role: 'tab', title, 'data-view': value, 'data-text': words, onclick: () => store.set({ view: value }) }, words),
  );
  place.append(...tabs);
  place.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
  store.listen((state, changed) => {
    if (!changed.has('view', 'analysis')) return;
    if (!viewsOf(state.analysis).includes(state.view)) return store.set({ view: 'heads' });
    for (const tab of tabs) {
      const on = tab.dataset.view === state.view;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
      tab.hidden = !viewsOf(state.analysis).includes(tab.dataset.view);
    }
    document.body.dataset.view = state.view;
  });
}
