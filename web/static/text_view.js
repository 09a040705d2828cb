// The text as the open head reads it: one span a token, text nodes only, shaded by the row or column of the chosen token. In
// cross-attention there are two: the target, whose tokens are queries, and the source, whose tokens are keys.

import { h, onHover } from './dom.js';
import { chosen, pin } from './open_head.js';
import { heading, tokenOf, tokenSpans, tokenStep } from './token_spans.js';

const LEVELS = 24; // steps of shading; steps that stay the same touch nothing

export class TextView {
  box = h('div', { class: 'text', tabindex: 0, role: 'listbox', 'aria-label': 'The text; arrows move among tokens' });
  #spans = { queries: [], keys: [] }; // the same array where both are one text
  #levels = new Map(); // of each array of spans, as it is shaded
  #analysis = null;
  #chosen = null; // its span
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
    const at = (event) => {
      const token = tokenOf(event, this.box);
      return token === null ? null : { token, axis: this.#axisOf(event.target.closest('[data-i]')) };
    };
    const hover = (found) => {
      const axis = found?.axis ?? this.#axis();
      const token = found?.token ?? null;
      this.store.set(axis === 'queries' ? { hoverQuery: token, hoverKey: null } : { hoverQuery: null, hoverKey: token });
    };
    onHover(this.box, at, hover, (a, b) => a?.token === b?.token && a?.axis === b?.axis);
    this.box.addEventListener('click', (event) => {
      const found = at(event);
      if (found) pin(this.store, found.token, found.axis);
    });
    this.box.addEventListener('keydown', (event) => this.#key(event));
  }

  // The axis that the chosen token is on.
  #axis() {
    return this.store.state.side === 'reads' ? 'queries' : 'keys';
  }
  #axisOf(span) {
    if (this.#spans.queries === this.#spans.keys) return this.#axis();
    return this.#spans.keys.includes(span) ? 'keys' : 'queries';
  }

  #key(event) {
    const spans = this.#spans[this.#axis()];
    if (event.altKey || event.ctrlKey || event.metaKey || !spans.length) return;
    const token = tokenStep(spans, Math.max(0, spans.indexOf(this.#chosen)), event.key);
    if (token === null && event.key !== 'Escape') return;
    event.preventDefault();
    if (token === null) return this.store.set({ query: null });
    pin(this.store, token, this.#axis());
    this.#reveal(spans[token]);
  }

  #build(analysis) {
    this.#analysis = analysis;
    this.#chosen = null;
    const crossed = analysis?.section === 'cross';
    const { lines, spans: queries } = tokenSpans(analysis?.pieces ?? [], (i) => `token-${i}`, crossed ? [] : analysis?.segments);
    const source = crossed ? tokenSpans(analysis.keyPieces, (i) => `key-${i}`) : null;
    this.#spans = { queries, keys: source?.spans ?? queries };
    this.#levels = new Map(Object.values(this.#spans).map((spans) => [spans, new Uint8Array(spans.length)]));
    this.box.classList.toggle('short', (analysis?.side ?? 0) <= 120);
    this.box.replaceChildren(...(source ? [heading('target'), ...lines, heading('source'), ...source.lines] : lines));
    this.box.scrollTop = 0;
  }

  #shade({ row, open, analysis, side, sinks }) {
    const usable = row && row.open === open && row.side === side && analysis === this.#analysis;
    const hidden = new Set(sinks === 'hidden' && analysis ? analysis.excluded : []);
    if (this.#kind !== side) {
      this.#kind = side;
      this.box.classList.toggle('readers', side === 'readers');
    }
    const read = this.#spans[side === 'reads' ? 'keys' : 'queries'];
    for (const [spans, levels] of this.#levels) {
      for (let i = 0; i < spans.length; i++) {
        let w = usable && spans === read ? row.data[i] : 0;
        if (side === 'reads' && hidden.has(i)) w = 0;
        const level = w > 0 ? Math.round(Math.sqrt(w) * LEVELS) : 0;
        if (level === levels[i]) continue;
        levels[i] = level;
        const { style } = spans[i];
        if (level) style.setProperty('--w', (level / LEVELS).toFixed(3));
        else style.removeProperty('--w');
      }
    }
  }

  #choose(state) {
    const token = state.layer === null ? -1 : (chosen(state) ?? -1);
    this.#chosen?.classList.remove('chosen');
    this.#chosen?.removeAttribute('aria-selected');
    const span = (this.#chosen = this.#spans[this.#axis()][token] ?? null);
    this.#fade(span, state);
    if (!span) return this.box.removeAttribute('aria-activedescendant');
    span.classList.add('chosen');
    span.setAttribute('aria-selected', 'true');
    this.box.setAttribute('aria-activedescendant', span.id);
    const fromText = this.box.matches(':hover') || document.activeElement === this.box;
    if (!fromText) this.#reveal(span);
  }

  // Tokens that the chosen one cannot see (or that cannot see it) are pale: one range, not a class a token.
  #fade(span, { analysis, side }) {
    if (!CSS.highlights) return;
    CSS.highlights.delete('unseen');
    if (!span || !analysis?.causal) return;
    const range = document.createRange();
    range.selectNodeContents(this.box);
    if (side === 'reads') range.setStartAfter(span);
    else range.setEndBefore(span);
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
    if (tries > 1) requestAnimationFrame(() => span === this.#chosen && this.#reveal(span, tries - 1));
  }
}
