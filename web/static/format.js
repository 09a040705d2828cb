// Numbers as people read them.

import { statistic } from './statistics.js';

const UNITS = { nats: '\u202fnats', keys: '', tokens: '', offset: '', rows: '', share: '' };

// A value as people read it: shares with two decimals, the rest with about three digits. null has no number.
export function format(name, value, { unit = false } = {}) {
  if (value === null || value === undefined || Number.isNaN(value)) return '\u2013';
  const kind = statistic(name)?.unit ?? 'share';
  const text = kind === 'rows' || kind === 'offset' ? String(value) : number(value, kind === 'share' ? 2 : undefined);
  return unit ? text + UNITS[kind] : text;
}

export function number(value, decimals) {
  if (decimals !== undefined) return value.toFixed(decimals);
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString('en-GB');
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

// A difference of shares, with its sign.
export function signed(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '\u2013';
  const text = Math.abs(value).toFixed(2);
  return text === '0.00' ? text : `${value < 0 ? '\u2212' : '+'}${text}`;
}

// A single weight: four decimals, and never "0.0000" for something that is not zero.
export function weight(value) {
  if (value === 0) return '0';
  if (value < 0.00005)
    return value
      .toExponential(1)
      .replace('e-', '\u202f\u00d7\u202f10\u207b')
      .replace(/\u207b(\d+)$/, (_, d) => '\u207b' + superscript(d));
  return value.toFixed(4);
}

function superscript(digits) {
  return [...digits].map((d) => '\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079'[d]).join('');
}

export const percent = (share) => (share > 0 && share < 0.005 ? 'under 1\u202f%' : `${Math.round(100 * share)}\u202f%`);

// A problem's detail as a sentence of its own.
export function sentence(text) {
  const trimmed = text.trim();
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
