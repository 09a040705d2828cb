// A second map beside the first: a name, what it is, zoom, the number under the pointer. For another head, and for a difference.

import { h } from './dom.js';
import { HeadMap } from './map.js';
import { watchReadout } from './readout.js';

export class MapCard {
  name = h('h2', { class: 'head-name' });
  note = h('span', { class: 'soft' });
  legend = h('div', { class: 'legend' });
  words = h('p', { class: 'soft map-words' });

  // store: an OverlayStore; extra: elements at the end of the top line
  constructor(store, panel, { hint, say, extra = [] }) {
    const button = (words, title, onclick) =>
      h('button', { type: 'button', class: 'quiet small', title, 'aria-label': title, onclick }, words);
    const all = button('All', 'The whole map', () => this.map.fit());
    const further = button('\u2212', 'Further', () => this.map.zoom(1 / 1.6));
    const closer = button('+', 'Closer', () => this.map.zoom(1.6));
    const place = h('div', { class: 'map-place' });
    const readout = h('p', { class: 'second-readout', 'aria-live': 'polite' });
    panel.append(
      h('div', { class: 'map-top' }, this.name, this.note, this.legend, h('span', { class: 'spring' }), all, further, closer, ...extra),
      place,
      readout,
      this.words,
    );
    this.map = new HeadMap(store, place, () => {
      all.disabled = further.disabled = this.map.fitted;
    });
    watchReadout(store, readout, hint, say);
    store.listen((state, changed) => {
      if (!changed.has('mapError')) return;
      this.words.textContent = state.mapError?.detail ?? '';
      this.words.hidden = !this.words.textContent;
    });
  }
}
