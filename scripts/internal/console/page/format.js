// Numbers, times and ids for people.

const whole = new Intl.NumberFormat('en');

export const count = (n) => whole.format(n);

export const rate = (n) => (n >= 10 || Number.isInteger(n) ? whole.format(Math.round(n)) : n.toFixed(1));

/** A duration in ms. */
export function took(ms) {
  if (ms >= 60_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 100 ? `${Math.round(ms)} ms` : `${ms.toFixed(ms >= 10 ? 0 : 1)} ms`;
}

/** Dollars, with three digits that say something. */
export function usd(n) {
  if (!n) return '$0';
  if (n >= 0.1) return `$${n.toFixed(2)}`;
  return `$${n.toFixed(Math.min(10, 2 - Math.floor(Math.log10(n))))}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** The local time of day, to the millisecond. */
export function clock(time) {
  const at = new Date(time);
  const two = (n) => String(n).padStart(2, '0');
  const ms = String(at.getMilliseconds()).padStart(3, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

/** How long ago it was, at a time; Go's zero time is never. */
export function ago(time, now) {
  const s = Math.max(0, (new Date(now) - new Date(time)) / 1000);
  if (new Date(time).getUTCFullYear() < 2000) return '–';
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86_400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
}

/** Ids of events differ at their end. */
export const tail = (id) => (id.length > 6 ? `…${id.slice(-4)}` : id);

/** Ids of connections differ at their begin. */
export const head = (id) => (id.length > 8 ? `${id.slice(0, 6)}…` : id);
