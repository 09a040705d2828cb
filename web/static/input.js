// What a model is given: { text }, { text, text_pair }, { messages: [{ role, content }] } or { text, target }. Pure.

export const ROLES = ['system', 'user', 'assistant'];

// The kinds of input that a model takes, the usual one first: [[kind, words, title]...].
export function kindsOf(model) {
  if (!model?.tokenizer) return [];
  if (model.sections?.length > 1) return [['target', 'Source and target', 'A text, and what is written from it']];
  const kinds = [['text', 'Text', 'One text']];
  if (model.pairs) kinds.push(['pair', 'Pair', 'Two texts that are read together']);
  if (model.chat) kinds.push(['chat', 'Chat', `Messages, in the model\u2019s own format (${model.chat})`]);
  return kinds;
}

export function kindOf(input) {
  if (input.messages) return 'chat';
  if (input.target !== undefined) return 'target';
  return input.text_pair !== undefined ? 'pair' : 'text';
}

// The same words as another kind of input, as far as that goes.
export function convert(input, kind) {
  const { messages } = input;
  const first = input.text ?? messages?.find((m) => m.role === 'user')?.content ?? messages?.[0]?.content ?? '';
  const second = input.text_pair ?? input.target ?? messages?.find((m) => m.role === 'assistant')?.content ?? '';
  if (kind === kindOf(input)) return input;
  if (kind === 'chat') return { messages: [{ role: 'user', content: first }, { role: 'assistant', content: second }] };
  if (kind === 'pair') return { text: first, text_pair: second };
  if (kind === 'target') return { text: first, target: second };
  return { text: first };
}

// Messages that say nothing are not sent.
export function bodyOf(input) {
  return input.messages ? { messages: input.messages.filter((m) => m.content) } : input;
}

// Whether there is enough to ask about.
export function isComplete(input) {
  if (input.messages) return input.messages.some((m) => m.content);
  return [input.text, input.text_pair ?? ' ', input.target ?? ' '].every((text) => text !== '');
}

export const sameInput = (a, b) => JSON.stringify(bodyOf(a)) === JSON.stringify(bodyOf(b));

// What an analysis was made of. `messages` of the server say which bytes of the text were given.
export function inputOf({ text, textPair, target, messages }) {
  if (messages) {
    const bytes = new TextEncoder().encode(text);
    const words = new TextDecoder();
    return {
      messages: messages
        .filter((m) => m.given)
        .map((m) => ({ role: m.role, content: words.decode(bytes.subarray(...m.content)) })),
    };
  }
  if (typeof target === 'string') return { text: text ?? '', target };
  return typeof textPair === 'string' ? { text: text ?? '', text_pair: textPair } : { text: text ?? '' };
}

// The parts that an analysis falls into, as tokens: [{ name, first, end }]; none where there is one text.
export function segmentsOf({ tokens, textPair, messages }) {
  if (messages) return messages.map((m) => ({ name: m.role, first: m.first, end: m.end }));
  if (typeof textPair !== 'string') return [];
  const second = tokens.findIndex((token) => token.sequence === 1);
  if (second < 0) return [];
  return [
    { name: 'first', first: 0, end: second },
    { name: 'second', first: second, end: tokens.length },
  ];
}

const PARTS = { first: 'first text', second: 'second text', target: 'target: its tokens ask', source: 'source: its tokens are read' };
export const partName = (name) => PARTS[name] ?? name;

// The questions that parts suggest, which of them reads which: [[reader, read]...]; in a causal model only what stands before.
export function crossings(segments, causal, most = 4) {
  const pairs = segments.flatMap((reader, i) => segments.filter((_, j) => (causal ? j < i : j !== i)).map((read) => [reader, read]));
  return pairs.filter(([a, b]) => a.end > a.first && b.end > b.first).slice(-most);
}
