// The text as the open head reads it: one span a token, text nodes only, shaded by the row or column of the chosen token.

import { h, onHover } from './dom.js';
import { chosen } from './open_head.js';
import { tokenOf, tokenSpans, tokenStep } from './token_spans.js';

const LEVELS = 24; // steps of shading; steps that stay the same touch nothing

export class TextView {
  box = h('div', { class: 'text', tabindex: 0, role: 'listbox', 'aria-label': 'The text; arrows move among tokens' });
  #spans = [];
  #levels = new Uint8Array(0);
  #analysis = null;
  #chosen = -1;
  #kind = '';

  constructor(store, place) {
    this.store = store;
    place.append(this.box);
    this.#listen();
    store.listen((state, changed) => {
      if (changed.has('analysis') && state.analysis !== this.#analysis) this.#build(state.analysis);
      if (changed.has('analysis', 'row', 'open', 'side', 'sinks', 'layer', 'head')) this.#shade(state);
      if (changed.has('analysis', 'side', 'hoverQuery', 'hoverKey', 'query', 'autoQuery', 'open')) this.#choose(state);
    });
  }

  #listen() {
    const at = (event) => tokenOf(event, this.box);
    const hover = (token) =>
      this.store.set(
        this.store.state.side === 'reads' ? { hoverQuery: token, hoverKey: null } : { hoverQuery: null, hoverKey: token },
      );
    onHover(this.box, at, hover);
    this.box.addEventListener('click', (event) => {
      const token = at(event);
      if (token !== null) this.#pin(token);
    });
    this.box.addEventListener('keydown', (event) => this.#key(event));
  }

  #pin(token) {
    this.store.set({ query: token, hoverQuery: null, hoverKey: null });
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.#spans.length) return;
    const token = tokenStep(this.#spans, Math.max(0, this.#chosen), event.key);
    if (token === null && event.key !== 'Escape') return;
    event.preventDefault();
    if (token === null) return this.store.set({ query: null });
    this.#pin(token);
    this.#reveal(this.#spans[token]);
  }

  #build(analysis) {
    this.#analysis = analysis;
    this.#chosen = -1;
    const { lines, spans } = tokenSpans(analysis?.pieces ?? [], (i) => `token-${i}`, analysis?.segments);
    this.#spans = spans;
    this.#levels = new Uint8Array(this.#spans.length);
    this.box.classList.toggle('short', (analysis?.n ?? 0) <= 120);
    this.box.replaceChildren(...lines);
    this.box.scrollTop = 0;
  }

  #shade({ row, open, analysis, side, sinks }) {
    const usable = row && row.open === open && row.side === side && analysis === this.#analysis;
    const hidden = new Set(sinks === 'hidden' && analysis ? analysis.excluded : []);
    if (this.#kind !== side) {
      this.#kind = side;
      this.box.classList.toggle('readers', side === 'readers');
    }
    for (let i = 0; i < this.#spans.length; i++) {
      let w = usable ? row.data[i] : 0;
      if (side === 'reads' && hidden.has(i)) w = 0;
      const level = w > 0 ? Math.round(Math.sqrt(w) * LEVELS) : 0;
      if (level === this.#levels[i]) continue;
      this.#levels[i] = level;
      const { style } = this.#spans[i];
      if (level) style.setProperty('--w', (level / LEVELS).toFixed(3));
      else style.removeProperty('--w');
    }
  }

  #choose(state) {
    const token = state.layer === null ? -1 : (chosen(state) ?? -1);
    this.#spans[this.#chosen]?.classList.remove('chosen');
    this.#spans[this.#chosen]?.removeAttribute('aria-selected');
    this.#chosen = token;
    const span = this.#spans[token];
    this.#fade(token, state);
    if (!span) return this.box.removeAttribute('aria-activedescendant');
    span.classList.add('chosen');
    span.setAttribute('aria-selected', 'true');
    this.box.setAttribute('aria-activedescendant', span.id);
    const fromText = this.box.matches(':hover') || document.activeElement === this.box;
    if (!fromText) this.#reveal(span);
  }

  // Tokens that the chosen one cannot see (or that cannot see it) are pale: one range, not a class a token.
  #fade(token, { analysis, side }) {
    if (!CSS.highlights) return;
    CSS.highlights.delete('unseen');
    if (token < 0 || !analysis?.causal) return;
    const range = document.createRange();
    range.selectNodeContents(this.box);
    if (side === 'reads') range.setStartAfter(this.#spans[token]);
    else range.setEndBefore(this.#spans[token]);
    CSS.highlights.set('unseen', new Highlight(range));
  }

  // Scrolls the text alone, never the page. Lines that have not been on screen have guessed heights: look again once they are.
  #reveal(span, tries = 3) {
    const { box } = this;
    if (box.scrollHeight <= box.clientHeight || !span.isConnected) return;
    const top = span.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
    const above = top < box.scrollTop + 20;
    const below = top + span.offsetHeight > box.scrollTop + box.clientHeight - 20;
    if (!above && !below) return;
    box.scrollTop = top - box.clientHeight / (above ? 3 : 2);
    if (tries > 1) requestAnimationFrame(() => span === this.#spans[this.#chosen] && this.#reveal(span, tries - 1));
  }
}
