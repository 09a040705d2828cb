// The one table of head statistics that the page shows: names as the API spells them, and what each means in one line.
//
// unit    share: 0..1; nats, keys, tokens: as they say; offset: a count of tokens back; rows: a count of rows
// rows    the statistic that counts the rows behind this one; under ROWS_MIN it is drawn greyed
// twin    the same without sinks, shown beside it
// absent  why it is null when it is

export const ROWS_MIN = 20;

const NO_REST = 'nearly all weight lies on the sinks; the rest proves nothing';
const NO_REPEAT = 'no token repeats in this text';

export const STATISTICS = [
  {
    name: 'effective_keys',
    label: 'Keys read',
    unit: 'keys',
    group: 'How widely it reads',
    means: 'How many keys a row spreads over, in effect: the mean of exp(entropy).',
  },
  {
    name: 'entropy',
    label: 'Entropy',
    unit: 'nats',
    group: 'How widely it reads',
    means: 'Mean entropy of a row. 0: all on one key.',
  },
  {
    name: 'entropy_normalised',
    label: 'Entropy, 0 to 1',
    unit: 'share',
    group: 'How widely it reads',
    means: 'Entropy over the most that a row could have: 0 one key, 1 an even spread.',
  },
  {
    name: 'max_weight',
    label: 'Largest weight',
    unit: 'share',
    group: 'How widely it reads',
    means: 'Mean of the largest weight in a row.',
  },
  {
    name: 'sink_mass',
    label: 'On sinks',
    unit: 'share',
    group: 'Where it reads',
    means: 'Mean weight on the sinks: the first token and the special ones.',
  },
  {
    name: 'mean_distance',
    label: 'Distance',
    unit: 'tokens',
    group: 'How far back it reads',
    means: 'How far back it reads, on average, sinks included.',
  },
  {
    name: 'self_mass',
    label: 'Itself',
    unit: 'share',
    twin: 'self_mass_without_sinks',
    group: 'Where it reads',
    means: 'Mean weight of a token on itself.',
  },
  {
    name: 'self_mass_without_sinks',
    label: 'Itself, without sinks',
    unit: 'share',
    group: 'Where it reads',
    means: 'The same, as a share of the weight that is not on sinks.',
    absent: NO_REST,
  },
  {
    name: 'previous_mass',
    label: 'Previous token',
    unit: 'share',
    twin: 'previous_mass_without_sinks',
    group: 'Where it reads',
    means: 'Mean weight on the token just before.',
  },
  {
    name: 'previous_mass_without_sinks',
    label: 'Previous token, without sinks',
    unit: 'share',
    group: 'Where it reads',
    means: 'The same, as a share of the weight that is not on sinks.',
    absent: NO_REST,
  },
  {
    name: 'next_mass',
    label: 'Next token',
    unit: 'share',
    twin: 'next_mass_without_sinks',
    group: 'Where it reads',
    means: 'Mean weight on the token just after (encoders only).',
  },
  {
    name: 'next_mass_without_sinks',
    label: 'Next token, without sinks',
    unit: 'share',
    group: 'Where it reads',
    means: 'The same, as a share of the weight that is not on sinks.',
    absent: NO_REST,
  },
  {
    name: 'local_mass',
    label: 'Within 16 tokens',
    unit: 'share',
    twin: 'local_mass_without_sinks',
    group: 'How far back it reads',
    means: 'Mean weight on keys at most 16 tokens away.',
  },
  {
    name: 'local_mass_without_sinks',
    label: 'Within 16 tokens, without sinks',
    unit: 'share',
    group: 'How far back it reads',
    means: 'The same, as a share of the weight that is not on sinks.',
    absent: NO_REST,
  },
  {
    name: 'offset_mode',
    label: 'Usual offset',
    unit: 'offset',
    group: 'How far back it reads',
    means: 'How far back the largest weight lies most often.',
  },
  {
    name: 'offset_rate',
    label: 'How often',
    unit: 'share',
    group: 'How far back it reads',
    means: 'The share of rows whose largest weight lies at that offset.',
  },
  {
    name: 'offset_r2',
    label: 'Offset explains',
    unit: 'share',
    group: 'How far back it reads',
    means: 'How much of the map its mean at each offset explains. Near 1: position alone decides.',
  },
  {
    name: 'duplicate_mass',
    label: 'Copies',
    unit: 'share',
    twin: 'duplicate_mass_without_sinks',
    group: 'Whether it follows repeats',
    rows: 'duplicate_rows',
    means: 'Weight on earlier copies of the same token, over the rows that have one.',
    absent: NO_REPEAT,
  },
  {
    name: 'duplicate_mass_without_sinks',
    label: 'Copies, without sinks',
    unit: 'share',
    group: 'Whether it follows repeats',
    rows: 'duplicate_rows',
    means: 'The same, as a share of those rows\u2019 weight that is not on sinks.',
    absent: NO_REST,
  },
  {
    name: 'duplicate_rows',
    label: 'Rows with a copy',
    unit: 'rows',
    group: 'Whether it follows repeats',
    means: 'How many tokens have an earlier copy: the same for every head.',
  },
  {
    name: 'induction_mass',
    label: 'Induction',
    unit: 'share',
    twin: 'induction_mass_without_sinks',
    group: 'Whether it follows repeats',
    rows: 'induction_rows',
    means: 'Weight on what followed an earlier copy of the token, over the rows that have one.',
    absent: NO_REPEAT,
  },
  {
    name: 'induction_mass_without_sinks',
    label: 'Induction, without sinks',
    unit: 'share',
    group: 'Whether it follows repeats',
    rows: 'induction_rows',
    means: 'The same, as a share of those rows\u2019 weight that is not on sinks.',
    absent: NO_REST,
  },
  {
    name: 'induction_rows',
    label: 'Rows with a follower',
    unit: 'rows',
    group: 'Whether it follows repeats',
    means: 'How many tokens have an earlier copy whose follower they can see: the same for every head.',
  },
  {
    name: 'value_sink_share',
    label: 'Moved from sinks',
    unit: 'share',
    group: 'How much it moves',
    means: 'The share of all that the head moves (weight times the length of what the key gives) that comes from sinks.',
  },
  {
    name: 'output_ratio',
    label: 'Output',
    unit: 'share',
    group: 'How much it moves',
    means: 'How long the head\u2019s output is beside the residual stream that its layer reads.',
  },
];

const BY_NAME = new Map(STATISTICS.map((s) => [s.name, s]));

export const statistic = (name) => BY_NAME.get(name);

// Whether so few rows stand behind a value that it says little.
export function isThin(stats, name) {
  const rows = BY_NAME.get(name)?.rows;
  return Boolean(rows) && stats[rows] < ROWS_MIN;
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
