// The text boxes of the composer: one text, two texts, or the messages of a chat. Holds an input (see input.js).

import { h } from './dom.js';
import { convert, kindOf, ROLES } from './input.js';
import { TextField } from './text_field.js';

const NAMES = {
  pair: [
    ['First text', 'Write or paste the first text'],
    ['Second text', 'And the second'],
  ],
  target: [
    ['Source', 'The text that is read'],
    ['Target', 'What is written from it'],
  ],
};

export class InputFields {
  #kind = 'text';
  #turns = []; // [{ role, field, element }], of a chat
  #fields = [];

  // actions: { typed(), submit() }
  constructor(place, actions) {
    this.place = place;
    this.actions = actions;
    this.#build({ text: '' });
  }

  get kind() {
    return this.#kind;
  }

  // The same words in other boxes.
  become(kind) {
    if (kind === this.#kind) return;
    this.#build(convert(this.input, kind));
  }

  get input() {
    if (this.#kind === 'chat') return { messages: this.#turns.map(({ role, field }) => ({ role: role.value, content: field.text })) };
    const [first, second] = this.#fields.map((field) => field.text);
    return { text: { text: first }, pair: { text: first, text_pair: second }, target: { text: first, target: second } }[this.#kind];
  }

  set input(input) {
    const kind = kindOf(input);
    if (kind === 'chat' || kind !== this.#kind) return this.#build(input);
    this.#fields[0].text = input.text;
    if (this.#fields[1]) this.#fields[1].text = input.text_pair ?? input.target;
  }

  focus() {
    (this.#fields[0] ?? this.#turns.at(-1)?.field)?.focus();
  }

  fit() {
    for (const field of this.#all()) field.fit();
  }

  // pieces: of each text, in order; a chat's are not shown, they count in the whole that the model reads
  mark(pieces) {
    this.#fields.forEach((field, i) => field.mark(pieces[i] ?? []));
  }

  #all() {
    return this.#kind === 'chat' ? this.#turns.map((turn) => turn.field) : this.#fields;
  }

  #build(input) {
    this.#kind = kindOf(input);
    this.#turns = [];
    this.#fields = [];
    this.place.dataset.kind = this.#kind;
    if (this.#kind === 'chat') return this.#buildChat(input.messages);
    const texts = [input.text, input.text_pair ?? input.target].slice(0, this.#kind === 'text' ? 1 : 2);
    this.#fields = texts.map((text, i) => {
      const [name, placeholder] = NAMES[this.#kind]?.[i] ?? ['Text', 'Write or paste a text'];
      const field = new TextField(name, placeholder, this.actions, i ? null : 'text');
      field.text = text ?? '';
      return field;
    });
    this.place.replaceChildren(
      ...this.#fields.map((field, i) =>
        this.#kind === 'text' ? field.element : h('div', { class: 'part' }, h('span', {}, NAMES[this.#kind][i][0]), field.element),
      ),
    );
    this.fit();
  }

  #buildChat(messages) {
    this.add = h(
      'button',
      {
        type: 'button',
        class: 'plain small',
        onclick: () => {
          this.#turn({ role: this.#turns.at(-1)?.role.value === 'user' ? 'assistant' : 'user', content: '' });
          this.#turns.at(-1).field.focus();
        },
      },
      'Add a message',
    );
    this.place.replaceChildren(this.add);
    for (const message of messages) this.#turn(message);
    this.fit();
  }

  #turn({ role, content }) {
    const select = h('select', { 'aria-label': 'Who says it', onchange: () => this.actions.typed() }, ROLES.map((r) => h('option', { value: r }, r)));
    select.value = ROLES.includes(role) ? role : 'user';
    const field = new TextField('Message', 'What is said', this.actions);
    const turn = { role: select, field };
    turn.element = h(
      'div',
      { class: 'part turn' },
      select,
      field.element,
      h(
        'button',
        { type: 'button', class: 'plain small', 'aria-label': 'Take this message out', onclick: () => this.#remove(turn) },
        '\u00d7',
      ),
    );
    this.#turns.push(turn);
    this.add.before(turn.element);
    field.text = content;
    field.fit();
  }

  #remove(turn) {
    if (this.#turns.length === 1) {
      turn.field.text = '';
    } else {
      this.#turns = this.#turns.filter((t) => t !== turn);
      turn.element.remove();
    }
    this.actions.typed();
  }
}
