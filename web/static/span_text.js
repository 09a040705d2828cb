// The text as a place to choose in: a span of queries (orange) and a span of keys (blue), by click, drag or keyboard.

import { h } from './dom.js';
import { tokenOf, tokenSpans, tokenStep } from './token_spans.js';

export class SpanText {
  box = h('div', {
    class: 'spans',
    tabindex: 0,
    role: 'listbox',
    'aria-multiselectable': 'true',
    'aria-label': 'The text: click a token or drag over several; arrows move, Shift and arrows widen, Enter chooses',
  });
  #spans = [];
  #analysis = null;
  #anchor = null; // the token a drag or a widening began at
  #cursor = 0;
  #dragging = false;
  #slot = 'from';

  // choose([first, last + 1]): a span has been chosen for the slot that is being filled
  constructor(place, choose) {
    this.choose = choose;
    place.append(this.box);
    this.#listen();
  }

  #listen() {
    const { box } = this;
    box.addEventListener('pointerdown', (event) => {
      const token = tokenOf(event, box);
      if (event.button || token === null) return;
      if (event.pointerType !== 'touch') event.preventDefault(); // no selecting of words under the drag
      box.focus({ preventScroll: true });
      this.#dragging = true;
      this.#anchor = this.#cursor = token;
      this.#preview();
    });
    box.addEventListener('pointermove', (event) => {
      if (!this.#dragging || event.pointerType === 'touch') return;
      const under = document.elementFromPoint(event.clientX, event.clientY);
      const token = under ? tokenOf({ target: under }, box) : null;
      if (token === null || token === this.#cursor) return;
      this.#cursor = token;
      this.#preview();
    });
    box.addEventListener('pointerup', () => this.#dragging && this.#commit());
    addEventListener('pointerup', () => this.#dragging && this.#commit());
    box.addEventListener('pointercancel', () => {
      this.#dragging = false; // a finger that scrolls
      this.#clear();
    });
    box.addEventListener('keydown', (event) => this.#key(event));
    box.addEventListener('blur', () => this.#clear());
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.#spans.length) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.#anchor ??= this.#cursor;
      return this.#commit();
    }
    const to = tokenStep(this.#spans, this.#cursor, event.key);
    if (to === null) return;
    event.preventDefault();
    this.#anchor = event.shiftKey ? (this.#anchor ?? this.#cursor) : to;
    this.#cursor = to;
    this.#preview();
    this.#spans[to].scrollIntoView({ block: 'nearest' });
  }

  #range() {
    return [Math.min(this.#anchor, this.#cursor), Math.max(this.#anchor, this.#cursor) + 1];
  }

  #commit() {
    const range = this.#range();
    this.#dragging = false;
    this.#clear();
    this.choose(range);
  }

  // What would be chosen if the hand let go now.
  #preview() {
    const [a, b] = this.#range();
    this.#spans.forEach((span, i) => span.classList.toggle('aimed', i >= a && i < b));
    this.box.setAttribute('aria-activedescendant', this.#spans[this.#cursor].id);
  }

  #clear() {
    this.#anchor = null;
    for (const span of this.#spans) span.classList.remove('aimed');
  }

  // slot: 'from' or 'to', the one that is being filled; from, to: [first, last + 1] or null
  show(analysis, slot, from, to) {
    if (analysis !== this.#analysis) {
      this.#analysis = analysis;
      const { lines, spans } = tokenSpans(analysis.pieces, (i) => `span-${i}`, analysis.segments);
      this.#spans = spans;
      this.#cursor = 0;
      this.box.replaceChildren(...lines);
    }
    this.#slot = slot;
    this.box.dataset.slot = slot;
    const inside = (range, i) => Boolean(range) && i >= range[0] && i < range[1];
    this.#spans.forEach((span, i) => {
      const [q, k] = [inside(from, i), inside(to, i)];
      span.classList.toggle('from', q);
      span.classList.toggle('to', k);
      if (q || k) span.setAttribute('aria-selected', 'true');
      else span.removeAttribute('aria-selected');
      // A causal model's keys come no later than the last query.
      span.classList.toggle('out', analysis.causal && Boolean(from) && slot === 'to' && i >= from[1]);
    });
  }
}
