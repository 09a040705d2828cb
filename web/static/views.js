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
    for (const tab of tabs) {
      const on = tab.dataset.view === state.view;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
      tab.hidden = state.analysis?.section === 'cross' && ['find', 'depth'].includes(tab.dataset.view);
    }
    document.body.dataset.view = state.view;
  });
}
