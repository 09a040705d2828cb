// A text box whose tokens are tinted behind the letters, as tall as its text.

import { h } from './dom.js';

const MARKS_MAX = 9000; // tokens whose boundaries are drawn

export class TextField {
  #area;
  #marks = h('div', { class: 'marks', 'aria-hidden': 'true' });

  // actions: { typed(), submit() }
  constructor(name, placeholder, actions, id = null) {
    this.#area = h('textarea', {
      id,
      rows: 1,
      spellcheck: 'false',
      autocapitalize: 'off',
      autocomplete: 'off',
      'aria-label': name,
      'aria-describedby': 'count',
      placeholder,
      oninput: () => {
        this.fit();
        this.mark(null, 0);
        actions.typed();
      },
      onscroll: () => {
        this.#marks.scrollTop = this.#area.scrollTop;
      },
      onkeydown: (event) => {
        if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        actions.submit();
      },
    });
    this.element = h('div', { class: 'field' }, this.#marks, this.#area);
  }

  #pieces = [];
  #marked = '';

  get text() {
    return this.#area.value;
  }

  set text(text) {
    if (text === this.#area.value) return;
    this.#area.value = text;
    this.#area.scrollTop = 0;
    this.fit();
    this.mark(null);
  }

  focus() {
    this.#area.focus();
  }

  fit() {
    this.#area.style.height = 'auto';
    this.#area.style.height = `${this.#area.scrollHeight}px`;
  }

  // Tints every other piece. `pieces` null: those of the last text, as far as it is still the same.
  mark(pieces) {
    const text = this.text;
    if (pieces) [this.#pieces, this.#marked] = [pieces.length <= MARKS_MAX ? pieces : [], text];
    const same = commonPrefix(this.#marked, text);
    const nodes = [];
    let at = 0;
    this.#pieces.forEach((piece, i) => {
      if (piece.added || piece.end <= piece.start || piece.end > same || piece.start < at) return;
      if (i % 2 === 0 && !piece.special) return;
      if (piece.start > at) nodes.push(text.slice(at, piece.start));
      nodes.push(h('span', { class: piece.special ? 'special' : null }, text.slice(piece.start, piece.end)));
      at = piece.end;
    });
    nodes.push(text.slice(at) + '\u200b'); // a last empty line takes its room
    this.#marks.replaceChildren(...nodes);
    this.#marks.scrollTop = this.#area.scrollTop;
  }
}

function commonPrefix(a, b) {
  const n = Math.min(a.length, b.length);
  let i = 0;
  while (i < n && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  return i;
}
