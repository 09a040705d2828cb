// While one types in a text that is already drawn: every pause of a key shows the text as it stands (a draft, computed but not
// kept), and once typing rests the text is analysed as if the button had been pressed.

import { isComplete } from './input.js';

const AFTER_KEY = 5; // ms: keys that come together are one; a draft that is under way when the next key comes is cancelled
const REST = 1200; // ms
const TOKENS_MAX = 2048; // of the text that is drawn; above, typing waits for the button

export class Drafts {
  #timer = 0;
  #rest = 0;

  // actions: { draft(input), keep(input) }
  constructor(store, actions) {
    this.store = store;
    this.actions = actions;
  }

  typed(input) {
    this.stop();
    const { page, analysis, phase } = this.store.state;
    if (page !== 'analysis' || !analysis?.done || !isComplete(input) || analysis.n > TOKENS_MAX) return;
    if (phase !== 'done' && !this.store.state.draft) return; // the button has been pressed: that goes first
    this.#timer = setTimeout(() => this.actions.draft(input), AFTER_KEY);
    this.#rest = setTimeout(() => this.actions.keep(input), REST);
  }

  stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#rest);
  }
}
