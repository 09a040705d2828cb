// The text as the open head reads it: one span a token, text nodes only, shaded by the row or column of the chosen token.

import { h, onHover } from './dom.js';
import { chosen } from './open_head.js';

const line = () => h('div', { dir: 'auto', role: 'presentation' });
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
    const at = (event) => {
      const span = event.target.closest?.('[data-i]');
      return span && this.box.contains(span) ? Number(span.dataset.i) : null;
    };
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
    const now = Math.max(0, this.#chosen);
    const last = this.#spans.length - 1;
    const to = {
      ArrowLeft: () => now - 1,
      ArrowRight: () => now + 1,
      Home: () => 0,
      End: () => last,
      ArrowUp: () => this.#lineStep(now, -1),
      ArrowDown: () => this.#lineStep(now, 1),
      Escape: () => null,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const token = to();
    if (token === null) return this.store.set({ query: null });
    this.#pin(Math.max(0, Math.min(last, token)));
    this.#reveal(this.#spans[Math.max(0, Math.min(last, token))]);
  }

  // The token nearest above or below: along the tokens until the line has changed once and the column is reached.
  #lineStep(from, step) {
    const start = this.#spans[from].getBoundingClientRect();
    let best = from;
    let line = null;
    let least = Infinity;
    for (let i = from + step; i >= 0 && i < this.#spans.length; i += step) {
      const box = this.#spans[i].getBoundingClientRect();
      if (Math.abs(box.top - start.top) < 4) continue;
      line ??= box.top;
      if (Math.abs(box.top - line) >= 4) break;
      const far = Math.abs(box.left - start.left);
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  #build(analysis) {
    this.#analysis = analysis;
    this.#chosen = -1;
    const lines = [line()]; // a block a line of the text: what changes in one lays out that one alone
    this.#spans = (analysis?.pieces ?? []).map((piece, i) => {
      const names = [piece.special && 'special', piece.part?.[0] > 1 && 'rest-part', /[\n\r]/.test(piece.text) && 'newline']
        .filter(Boolean)
        .join(' ');
      // A word's leading space stands outside: a shade or a line under it would hang over a line's end.
      const space = /^ +(?=\S)/.exec(piece.text)?.[0] ?? '';
      const span = h(
        'span',
        { 'data-i': i, class: names || null, role: 'option', id: `token-${i}` },
        piece.text.slice(space.length),
      );
      lines.at(-1).append(space, span);
      if (piece.text.endsWith('\n')) lines.push(line());
      return span;
    });
    this.#levels = new Uint8Array(this.#spans.length);
    this.box.classList.toggle('short', (analysis?.n ?? 0) <= 120);
    this.box.replaceChildren(...lines.filter((line) => line.firstChild));
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
