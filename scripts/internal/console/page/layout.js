// Where the parts of the pipeline stand on the map: in columns along the way of an event.

const columns = ['clients', 'gateway', 'front', 'tables', 'stream', 'queue', 'sender'];

/**
 * From nodes of the state to {boxes, lines}. A box has the sums of its nodes, their names, a
 * column and a row: 0 is an event's way, -1 above it, 1 below. A line leads on, back (posts) or
 * aside (retries). Queues of other work are left out: their panel has them.
 */
export function layout(nodes) {
  const feeds = (from, to) => Boolean(from.to?.includes(to.name));
  const by = (kind, fits = () => true) => nodes.filter((n) => n.kind === kind && fits(n));
  const gateways = by('gateway');
  const tables = by('table', (t) => t.to?.length);
  const front = by('function', (f) => gateways.some((g) => feeds(g, f)));
  const writes = (f) => tables.some((t) => feeds(f, t));
  const streams = by('function', (f) => tables.some((t) => feeds(t, f)));
  const queues = by(
    'queue',
    (q) => streams.some((f) => feeds(f, q)) && by('function', (f) => !front.includes(f) && feeds(q, f)).length,
  );
  const senders = by('function', (f) => queues.some((q) => feeds(q, f)));
  const retries = by('queue', (q) => senders.some((f) => feeds(f, q) && feeds(q, f)));
  const boxes = [
    box('clients', by('clients')),
    box('gateway', gateways),
    box(
      'front',
      front.filter((f) => !writes(f)),
      -1,
    ),
    box(
      'front',
      front.filter(writes).sort((a, b) => a.name.localeCompare(b.name)),
    ),
    box('tables', tables),
    box('stream', streams),
    box('queue', queues),
    box('queue', retries, 1),
    box('sender', senders),
  ].filter(Boolean);
  // Dead letters count where they come from.
  for (const dead of by('queue', (q) => !q.to?.length)) {
    const sources = boxes.filter((b) => b.nodes.some((n) => feeds(n, dead)));
    const from = sources.find((b) => b.kind === 'queue') ?? sources[0];
    if (from) from.dead += dead.depth;
  }
  const lines = [];
  for (const from of boxes) {
    for (const to of boxes) {
      if (to.row <= 0 && to.column === from.column + 1) lines.push({ from, to, way: from.row > 0 ? 'aside' : 'on' });
    }
  }
  const first = boxes.find((b) => b.part === 'gateway'),
    last = boxes.find((b) => b.part === 'sender');
  if (first && last) lines.push({ from: last, to: first, way: 'back' });
  // Those that write nothing end here.
  return { boxes, lines: lines.filter(({ from, way }) => way !== 'on' || from.row === 0) };
}

function box(part, nodes, row = 0) {
  if (!nodes.length) return null;
  const sum = (field) => nodes.reduce((total, n) => total + (n[field] ?? 0), 0);
  const busiest = nodes.toSorted((a, b) => b.rate - a.rate)[0];
  const names = nodes.map((n) => n.name);
  const sums = ['rate', 'out', 'warm', 'busy', 'depth', 'inFlight', 'refused', 'gone', 'failed'].map((f) => [
    f,
    sum(f),
  ]);
  return {
    ...Object.fromEntries(sums),
    part,
    kind: nodes[0].kind,
    nodes,
    names,
    key: `${part} ${row}`,
    column: columns.indexOf(part),
    row,
    p50: busiest.p50,
    lag: busiest.lag,
    dead: 0,
  };
}
