// The one table of head statistics that the page shows: names as the API spells them, and what each means in one line.
//
// unit    share: 0..1; nats, keys, tokens: as they say; offset: a count of tokens back; rows: a count of rows; lift: a
//         difference of shares, with its sign
// rows    the statistic that counts the rows behind this one; under ROWS_MIN it is drawn greyed
// twin    the same without sinks, shown beside it
// absent  why it is null when it is

export const ROWS_MIN = 20;
export const REST_MIN = 0.05; // where less of the weight than this lies outside the sinks, what it does proves nothing

const NO_REST = 'nearly all weight lies on the sinks; the rest proves nothing';
const NO_REPEAT = 'no token repeats in this text';
const OFF_SINKS = 'The same, as a share of the weight that is not on sinks.';

const entry = (unit) => (group, name, label, means, more) => ({ unit, group, name, label, means, ...more });
const [share, keys, nats, tokens, offset, rows] = ['share', 'keys', 'nats', 'tokens', 'offset', 'rows'].map(entry);

// A mass and its twin without sinks.
function mass(group, name, label, means, more = {}) {
  const twin = `${name}_without_sinks`;
  return [
    share(group, name, label, means, { twin, ...more }),
    share(group, twin, `${label}, without sinks`, OFF_SINKS, { rows: more.rows, absent: NO_REST }),
  ];
}

const WIDE = 'How widely it reads';
const WHERE = 'Where it reads';
const FAR = 'How far back it reads';
const REPEATS = 'Whether it follows repeats';
const MOVES = 'How much it moves';

export const STATISTICS = [
  keys(WIDE, 'effective_keys', 'Keys read', 'How many keys a row spreads over, in effect: the mean of exp(entropy).'),
  nats(WIDE, 'entropy', 'Entropy', 'Mean entropy of a row. 0: all on one key.'),
  share(WIDE, 'entropy_normalised', 'Entropy, 0 to 1', 'Entropy over the most that a row could have: 0 one key, 1 an even spread.'),
  share(WIDE, 'max_weight', 'Largest weight', 'Mean of the largest weight in a row.'),
  share(WHERE, 'sink_mass', 'On sinks', 'Mean weight on the sinks: the first token and the special ones.'),
  tokens(FAR, 'mean_distance', 'Distance', 'How far back it reads, on average, sinks included.'),
  ...mass(WHERE, 'self_mass', 'Itself', 'Mean weight of a token on itself.'),
  ...mass(WHERE, 'previous_mass', 'Previous token', 'Mean weight on the token just before.'),
  ...mass(WHERE, 'next_mass', 'Next token', 'Mean weight on the token just after (encoders only).'),
  ...mass(FAR, 'local_mass', 'Within 16 tokens', 'Mean weight on keys at most 16 tokens away.'),
  offset(FAR, 'offset_mode', 'Usual offset', 'How far back the largest weight lies most often.'),
  share(FAR, 'offset_rate', 'How often', 'The share of rows whose largest weight lies at that offset.'),
  share(FAR, 'offset_r2', 'Offset explains', 'How much of the map its mean at each offset explains. Near 1: position alone decides.'),
  ...mass(REPEATS, 'duplicate_mass', 'Copies', 'Weight on earlier copies of the same token, over the rows that have one.', {
    rows: 'duplicate_rows',
    absent: NO_REPEAT,
  }),
  rows(REPEATS, 'duplicate_rows', 'Rows with a copy', 'How many tokens have an earlier copy: the same for every head.'),
  ...mass(REPEATS, 'induction_mass', 'Induction', 'Weight on what followed an earlier copy of the token, over the rows that have one.', {
    rows: 'induction_rows',
    absent: NO_REPEAT,
  }),
  rows(REPEATS, 'induction_rows', 'Rows with a follower', 'How many tokens have an earlier copy whose follower they can see: the same for every head.'),
  share(MOVES, 'value_sink_share', 'Moved from sinks', 'The share of all that the head moves (weight times the length of what the key gives) that comes from sinks.'),
  share(MOVES, 'output_ratio', 'Output', 'How long the head\u2019s output is beside the residual stream that its layer reads.'),
  share(WHERE, 'missing_mass', 'On no token', 'Mean weight that goes to no token at all: in this model rows sum to less than 1 by design.'),
];

const BY_NAME = new Map(STATISTICS.map((s) => [s.name, s]));

export const statistic = (name) => BY_NAME.get(name);

// Whether so few rows stand behind a value that it says little.
export function isThin(stats, name) {
  const behind = BY_NAME.get(name)?.rows;
  return Boolean(behind) && stats[behind] < ROWS_MIN;
}

// Why a value is null, in words.
export function whyAbsent(stats, name) {
  const s = BY_NAME.get(name);
  if (s?.rows && stats[s.rows] === 0) return NO_REPEAT;
  return s?.absent || 'too few tokens';
}

// The least and the largest of the values that are numbers, or null if there are none.
export function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (Number.isNaN(v)) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return low <= high ? { low, high } : null;
}
