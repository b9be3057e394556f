// Where on a trace's bars a time is. A retry may wait for seconds among steps of
// milliseconds: long waits in which nothing else happens are drawn short.

const shortWait = 0.08; // of the width

/**
 * From spans {kind, begin, took} to {at, breaks, ends}: at(ms) is from 0 to 1, breaks are
 * the shortened waits, each {begin, took}, and end is the last time, in ms.
 */
export function scale(spans) {
  const end = Math.max(1, ...spans.map((s) => s.begin + s.took));
  const breaks = idle(
    spans.filter((s) => s.kind !== 'wait'),
    end,
  );
  const skipped = breaks.reduce((sum, b) => sum + b.took, 0);
  const room = 1 - shortWait * breaks.length;
  const at = (ms) => {
    let seen = 0,
      shown = 0;
    for (const b of breaks) {
      const into = Math.min(Math.max(ms - b.begin, 0), b.took);
      seen += into;
      shown += shortWait * (into / b.took);
    }
    return Math.min(1, shown + (room * (ms - seen)) / (end - skipped));
  };
  return { at, breaks, end };
}

/** Times without work that are longer than a second and than all work together. */
function idle(work, end) {
  const gaps = [];
  let until = 0,
    busy = 0;
  for (const { begin, took } of work.toSorted((a, b) => a.begin - b.begin)) {
    if (begin > until) gaps.push({ begin: until, took: begin - until });
    busy += Math.max(0, begin + took - Math.max(begin, until));
    until = Math.max(until, begin + took);
  }
  if (end > until) gaps.push({ begin: until, took: end - until });
  return gaps.filter((g) => g.took > Math.max(busy, 500)).slice(0, 6);
}
