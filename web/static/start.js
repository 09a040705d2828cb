// The empty page: examples that show real patterns, and the analyses made last.

import * as api from './api.js';
import { byId, h } from './dom.js';
import { pastList } from './history.js';

export const EXAMPLES = [
  {
    title: 'A river, twice told',
    look: 'Phrases come back: induction heads look up what followed last time.',
    text:
      'A small river runs through the town of Alder. In spring the small river runs high, and the people of Alder walk down to ' +
      'the old bridge to watch it. In autumn the small river runs low, and the old bridge is quiet.',
  },
  {
    title: 'Who gave what to whom',
    look: 'Names are copied, moved and held back.',
    text:
      'When Mary and John went to the store, John gave a bottle of milk to Mary. Then Mary and John went home, and Mary gave ' +
      'the milk back to John.',
  },
  {
    title: 'A function in Python',
    look: 'Brackets, indents and names: heads that read structure.',
    text:
      'def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n\n\ndef factorial(n):\n' +
      '    if n < 2:\n        return 1\n    return n * factorial(n - 1)\n\nprint(fibonacci(30), factorial(10))\n',
  },
  {
    title: 'A turn of a chat',
    look: 'Special tokens gather attention beside the first one.',
    text:
      '<|im_start|>user\nWhat is the capital of France, and what is it known for?<|im_end|>\n<|im_start|>assistant\nThe capital of ' +
      'France is Paris. It is known for the Eiffel Tower, the Louvre and its caf\u00e9s.<|im_end|>\n',
  },
  {
    title: 'Counting and lists',
    look: 'A regular text: stripes at a fixed distance.',
    text:
      'Monday: 3 apples, 2 pears.\nTuesday: 4 apples, 1 pear.\nWednesday: 5 apples, 6 pears.\nThursday: 6 apples, 2 pears.\n' +
      'Friday: 7 apples, 4 pears.\n',
  },
  {
    title: 'Many scripts',
    look: 'Characters that take several tokens.',
    text:
      'Hello world. Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144. \u6771\u4eac\u306f\u4eca\u65e5\u3082\u5143\u6c17\u3067\u3059\u3002 ' +
      '\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645! \ud83d\udc69\u200d\ud83d\ude80\ud83d\ude80 na\u00efve caf\u00e9, E = mc\u00b2.',
  },
];

// actions: { analyse(input), visit(id) }
export function watchStart(store, actions) {
  const box = byId('start');
  const welcome = byId('welcome');
  const examples = h(
    'ul',
    { class: 'examples' },
    EXAMPLES.map((example) =>
      h(
        'li',
        {},
        h(
          'button',
          {
            type: 'button',
            onclick: () => actions.analyse({ text: example.text }),
          },
          h('strong', {}, example.title),
          h('span', {}, example.look),
        ),
      ),
    ),
  );
  const usable = h('div', {}, h('h2', {}, 'Or begin with one of these'), examples);
  const past = h('div', {});
  box.append(usable, past);

  async function refresh() {
    try {
      const { items } = await api.list(null, 5);
      past.replaceChildren(...(items.length ? [h('h2', {}, 'Analysed before'), pastList(items, actions)] : []));
    } catch {
      past.replaceChildren(); // the notice about the server says it already
    }
  }

  store.listen((state, changed) => {
    if (!changed.has('phase', 'analysis', 'models', 'page', 'problem')) return;
    const empty = !state.analysis && (state.page === 'write' || Boolean(state.problem));
    document.body.dataset.page = empty ? 'write' : 'analysis';
    box.hidden = welcome.hidden = !empty;
    usable.hidden = !state.model;
    if (empty && state.page && changed.has('page', 'analysis')) refresh();
  });
}
