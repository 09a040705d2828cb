// A second look at the page's store: some keys are its own (another open head, another analysis), all else is the page's.

import { Store } from './store.js';

const TOKENS = ['hoverQuery', 'hoverKey', 'query', 'autoQuery', 'autoKey'];

export class OverlayStore {
  #own;

  // own: the keys of its own, with their first values. tokens: null, or { to(i), from(token) } where its tokens have other
  // numbers than the page's.
  constructor(main, own, tokens = () => null) {
    this.main = main;
    this.tokens = tokens;
    this.#own = new Store(own);
    this.state = Object.create(main.state); // what main sets later shows through
    const kept = this.#own.state;
    for (const key of Object.keys(own)) Object.defineProperty(this.state, key, { get: () => kept[key] });
    for (const key of TOKENS.filter((key) => !(key in own))) {
      Object.defineProperty(this.state, key, { get: () => this.#translate('from', main.state[key]) });
    }
  }

  #translate(way, token) {
    const names = this.tokens();
    return names && token !== null && token !== undefined ? names[way](token) : token;
  }

  set(patch) {
    const [own, other] = [{}, {}];
    for (const [key, value] of Object.entries(patch)) {
      if (key in this.#own.state) own[key] = value;
      else other[key] = TOKENS.includes(key) ? this.#translate('to', value) : value;
    }
    this.#own.set(own);
    this.main.set(other);
  }

  touch(key) {
    this.#own.touch(key);
  }

  soon(draw) {
    this.main.soon(draw);
  }

  listen(listener) {
    const own = this.#own.state;
    this.main.listen((_, changed) => listener(this.state, { has: (...keys) => changed.has(...keys.filter((k) => !(k in own))) }));
    this.#own.listen((_, changed) => listener(this.state, changed));
  }
}
