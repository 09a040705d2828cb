// Of a model with an encoder and a decoder: whose heads are shown. The three share one analysis; the choice swaps the view of it.

import { h, segments } from './dom.js';

const WORDS = {
  encoder: ['Encoder', 'The source reads itself, both ways'],
  decoder: ['Decoder', 'The target reads what it has written so far'],
  cross: ['Cross', 'The target reads the source'],
};

export function watchSections(store, place) {
  const box = h('div', { class: 'sections', hidden: true });
  place.append(box);
  let made = '';
  let choice = null;

  store.listen((state, changed) => {
    if (!changed.has('analysis', 'section')) return;
    const sections = state.analysis?.sections;
    box.hidden = !sections;
    if (!sections) return;
    if (made !== sections.join()) {
      made = sections.join();
      choice = segments('Which heads', sections.map((s) => [s, ...(WORDS[s] ?? [s])]), (section) => store.set({ section }));
      box.replaceChildren(choice);
    }
    const shown = state.analysis.of(state.section);
    choice.choose(shown.section);
    if (shown === state.analysis) return;
    const fits = state.layer !== null && state.layer < shown.layers && state.head < shown.heads;
    store.set({
      analysis: shown,
      query: null,
      hoverQuery: null,
      hoverKey: null,
      hoverHead: null,
      ...(fits ? {} : { layer: null, head: null }),
    });
  });
}
