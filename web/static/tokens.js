// Tokens as people read them. The server gives byte ranges of the UTF-8 text; strings here count UTF-16 units.

const SIGNS = { '\n': '\u21b5', '\r': '\u240d', '\t': '\u21e5', ' ': '\u00b7', '\u0000': '\u2400' };

// Positions in the string for every byte offset in `offsets` (ascending or not): the character that holds the byte, and
// whether the offset falls on its first byte.
export function byteMap(text) {
  const starts = []; // starts[k]: the byte at which the k-th character begins
  const units = []; // its position in the string
  let bytes = 0;
  let unit = 0;
  for (const c of text) {
    starts.push(bytes);
    units.push(unit);
    const code = c.codePointAt(0);
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    unit += c.length;
  }
  starts.push(bytes);
  units.push(unit);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return { unit: units[low], whole: starts[low] === offset, next: units[Math.min(low + 1, units.length - 1)] };
  };
}

// What each token shows in the running text. The first of several tokens that share a character shows it, the others a dot.
// Result: [{ text, start, end, part, name, special, gap }]; part: null, or [k, of] for the k-th of several tokens that split
// characters, which are then in `name`; gap: what stands before the token and belongs to none (BERT's white space). The tokens of a pair count in the text that their `sequence` says.
export function pieces(text, tokens, pair = null) {
  const maps = [text, pair].map((t) => (t === null || t === undefined ? null : byteMap(t)));
  const done = [0, 0]; // where the last token of each text ended
  let split = []; // the run of tokens that share a character
  const out = tokens.map((token) => {
    const [map, whole] = token.sequence === 1 ? [maps[1], pair] : [maps[0], text];
    const added = !map || token.start === token.end;
    if (added) return { text: token.text ?? `#${token.id}`, start: 0, end: 0, part: null, special: token.special, gap: whole === null || whole === undefined ? ' ' : '', added: true };
    const from = map(token.start);
    const to = map(token.end);
    const start = from.whole ? from.unit : from.next;
    const end = to.whole ? to.unit : to.next;
    const before = done[token.sequence === 1 ? 1 : 0];
    done[token.sequence === 1 ? 1 : 0] = Math.max(before, end);
    return {
      gap: whole.slice(before, start),
      text: whole.slice(start, end),
      start,
      end,
      part: from.whole && to.whole ? null : [1, 1],
      special: token.special,
      added: false,
    };
  });
  out.forEach((piece, i) => {
    if (piece.part) split.push(i);
    const last = piece.part && (i + 1 === out.length || !out[i + 1].part || endsWhole(maps[tokens[i].sequence === 1 ? 1 : 0], tokens[i]));
    if (last) {
      const name = split.map((j) => out[j].text).join('');
      split.forEach((j, k) => {
        out[j].part = [k + 1, split.length];
        out[j].name = name;
        if (!out[j].text) out[j].text = '\u00b7';
      });
      split = [];
    }
  });
  return out;
}

function endsWhole(map, token) {
  return map(token.end).whole;
}

// A token's name where there is little room: leading space dropped, blanks made visible, cut to `limit` characters.
export function label(piece, limit = 14) {
  let text = piece.name ?? piece.text;
  if (/^\s+$/.test(text)) text = [...text].map((c) => SIGNS[c] ?? '\u00b7').join('');
  else text = text.trim().replace(/[\n\r\t\u0000]/g, (c) => SIGNS[c]);
  const characters = [...text];
  return characters.length > limit ? characters.slice(0, limit - 1).join('') + '\u2026' : text;
}

// A token's name in a sentence: in quotes, with its place, and how many tokens share the character if several do.
export function naming(piece, index) {
  const part = piece.part && piece.part[1] > 1 ? ` (part ${piece.part[0]} of ${piece.part[1]})` : '';
  return { text: label(piece, 22), place: `${index}${part}` };
}

// What stands for white space in the running text, beside the space itself.
export function sign(character) {
  return SIGNS[character];
}
