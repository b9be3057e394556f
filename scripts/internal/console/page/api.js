// The console's HTTP API.

const root = '/console/api/';

/** Go writes a list without items as null. */
const lists = [
  'bill',
  'nodes',
  'events',
  'connections',
  'topics',
  'functions',
  'queues',
  'faults',
  'histogram',
  'alarms',
  'notes',
  'figures',
];

/** An answer that is no success. A server that does not answer is another error. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, options = {}) {
  const response = await fetch(root + path, { ...options, cache: 'no-store', signal: AbortSignal.timeout(10_000) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, body.error ?? `The console answered ${response.status}.`);
  return body;
}

export async function readState() {
  const state = await call('state');
  for (const name of lists) state[name] ??= [];
  return state;
}

export const read = (...path) => call(path.map(encodeURIComponent).join('/'));

export const send = (path, body = {}) =>
  call(path.map(encodeURIComponent).join('/'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'subwire-console': '1' },
    body: JSON.stringify(body),
  });
