// One event: its steps as bars, its posts as cells, what was executed and sent.
import { $, attribute, h, hide, keyed, rove, text } from './dom.js';
import { clock, count, head, plural, tail, took, usd } from './format.js';
import { show } from './highlight.js';
import { go, lead } from './place.js';
import { scale } from './scale.js';

/** What a gateway's answer to a post means. */
function meaning(status) {
  if (!status) return ['waits', 'no answer yet'];
  if (status < 300) return ['ok', 'delivered'];
  if (status === 410) return ['gone', 'gone'];
  if (status === 429 || status >= 500 || status === 408) return ['busy', 'busy'];
  return ['bad', 'refused'];
}

/** Bars of one service look alike. */
function colour({ name, kind }) {
  if (kind === 'wait') return 'wait';
  if (kind === 'call') return /send|sqs|queue/i.test(name) ? 'sqs' : 'dynamodb';
  if (/sender/.test(name)) return 'sender';
  return /stream/.test(name) ? 'stream' : 'graphql';
}

/** The steps of a part of the map, with what they called. */
function steps(spans, part) {
  if (!part) return spans;
  let depth = null;
  return spans.filter((s) => {
    if (depth !== null && s.depth > depth) return true;
    depth = part.split(' ').some((name) => s.name.includes(name)) ? s.depth : null;
    return depth !== null;
  });
}

const outer = (link) => {
  try {
    const url = new URL(link, location.origin);
    return /^https?:$/.test(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
};

export function trace(root, act, copy) {
  const id = h('code', { class: 'name' }),
    topic = h('a', { class: 'chip', dir: 'auto' }),
    newest = h('span', { class: 'chip live' }, 'newest');
  const only = h('a', { class: 'chip' }),
    meta = h('span', { class: 'meta' });
  const again = h('button', { type: 'button', class: 'small' }, 'Send again'),
    curl = h('button', { type: 'button', class: 'small' }, 'Copy as curl');
  const graphiql = h(
    'a',
    { class: 'button small', target: '_blank', rel: 'noopener' },
    'GraphiQL ',
    h('span', { 'aria-hidden': 'true' }, '↗'),
  );
  const tools = h('div', { class: 'tools' }, meta, again, graphiql, curl);
  const title = h('h2', { id: 'trace-title' }, 'Event');
  const bars = h('ol', { class: 'steps' }),
    axis = h('div', { class: 'ticks', 'aria-hidden': 'true' });
  const summary = h('p', { class: 'summary' }),
    cells = h('div', { class: 'cells', role: 'group', 'aria-label': 'Targets' });
  const about = h('p', { class: 'about', 'aria-live': 'off' });
  const executions = h('div', { class: 'executions' }),
    request = h('details', { class: 'request' });
  const mutation = h('pre', { tabindex: '0', 'aria-label': 'The mutation' }),
    variables = h('pre', { tabindex: '0', 'aria-label': 'Its variables' });
  const written = h('summary', {}, 'The mutation that wrote it');
  request.append(written, mutation, variables);
  written.addEventListener('click', (event) => {
    event.preventDefault(); // the address says whether it is open
    go({ mutation: request.open ? null : 'shown' });
  });
  const body = h('div', { class: 'scroll' }, axis, bars, summary, cells, about, executions, request);
  const why = h('span'),
    latest = lead(h('a'), { event: null });
  latest.textContent = 'Show the newest';
  const empty = h('p', { class: 'empty' }, why, ' ', latest);
  root.append(h('header', {}, title, id, topic, newest, only), tools, body, empty);

  let shown = null;
  again.addEventListener('click', () => act(again, ['events', shown.id, 'again'], {}, 'Sent again'));
  curl.addEventListener('click', () => copy(shown.request.curl));
  const settle = rove(cells, 'button');

  const lines = keyed(bars, () => {
    const name = h('span', { class: 'step' }),
      bar = h('i'),
      track = h('span', { class: 'track' }, bar),
      time = h('span', { class: 'n' });
    const node = h('li', {}, name, track, time);
    return {
      node,
      update(s) {
        name.replaceChildren(h('span', {}, s.name));
        if (s.detail) name.append(h('small', {}, s.detail));
        if (s.cold) name.append(h('em', { title: 'A process was started' }, 'cold'));
        if (s.failed) name.append(h('em', { class: 'bad' }, 'failed'));
        name.style.paddingInlineStart = `${s.depth * 0.9}rem`;
        name.title = [s.name, s.detail].filter(Boolean).join(' ');
        bar.className = `${colour(s)}${s.failed ? ' failed' : ''}`;
        bar.style.insetInlineStart = `${s.from * 100}%`;
        bar.style.width = `${Math.max(0.4, (s.to - s.from) * 100)}%`;
        node.classList.toggle('deep', s.depth > 0 || s.kind === 'wait');
        text(time, took(s.took));
      },
    };
  });
  const ticks = keyed(axis, () => {
    const node = h('span');
    return {
      node,
      update: (t) => {
        node.style.insetInlineStart = `${t.at * 100}%`;
        text(node, t.text);
        node.className = t.skip ? 'pause' : '';
      },
    };
  });

  const say = (cell) =>
    text(about, cell?.dataset.about ?? 'A cell is a target: the arrow keys move, Enter shows its connection.');
  for (const event of ['focusin', 'mouseover'])
    cells.addEventListener(event, ({ target }) => target.matches('button') && say(target));
  cells.addEventListener('mouseleave', () =>
    say(cells.contains(document.activeElement) ? document.activeElement : null),
  );
  cells.addEventListener(
    'click',
    ({ target }) => target.matches('button') && go({ connection: target.dataset.connection }),
  );
  const targets = keyed(cells, () => {
    const node = h('button', { type: 'button', tabindex: '-1' });
    return {
      node,
      update(p) {
        const [look, words] = meaning(p.status);
        const label =
          `${head(p.connection)} operation ${p.operation}: ${words}${p.status ? ` (${p.status})` : ''}` +
          `${p.status ? ` after ${took(p.at)}` : ''}` +
          `${p.attempt > 0 ? `, after ${plural(p.attempt, 'retry', 'retries')}` : ''}`;
        node.className = `${look}${p.attempt > 0 ? ' again' : ''}`;
        node.dataset.connection = p.connection;
        node.dataset.about = label;
        attribute(node, 'aria-label', label);
        attribute(node, 'aria-pressed', String(p.selected));
        if (document.activeElement === node) say(node);
      },
    };
  });
  const documents = keyed(executions, () => {
    const shared = h('h3'),
      code = h('pre', { tabindex: '0', 'aria-label': 'The operation' }),
      frame = h('pre', { class: 'frame', tabindex: '0', 'aria-label': 'What was sent' });
    return {
      node: h('article', {}, shared, code, frame),
      update(x) {
        text(
          shared,
          x.viewer
            ? `executed for one viewer · ${plural(x.targets, 'subscriber')}`
            : `executed once · shared by ${count(x.targets)}`,
        );
        show(code, x.document);
        hide(frame, !x.frame);
        show(frame, x.frame);
      },
    };
  });
  const parts = keyed(summary, () => {
    const node = h('span');
    return {
      node,
      update: (p) => {
        text(node, p.text);
        node.className = p.look;
      },
    };
  });

  /** Shows a trace; or why there is none. */
  return (t, place, { following, message, can }) => {
    shown = t;
    for (const node of [id, topic, tools, body]) hide(node, !t);
    hide(newest, !t || !following);
    hide(only, !t || !place.part);
    hide(empty, t);
    text(why, message);
    hide(latest, !place.event);
    if (!t) return;
    attribute(text(id, tail(t.id)), 'title', t.id);
    lead(text(topic, t.topic), { topic: t.topic });
    lead(text(only, `only ${place.part} ✕`), { part: null });
    attribute(only, 'aria-label', `Show all steps, not only ${place.part}`);
    text(meta, `${clock(t.at)} · ${t.usd ? `${usd(t.usd)} · ` : ''}trace ${t.trace || '–'}`);
    attribute(meta, 'title', t.trace);
    hide(again, !t.request || !can.post);
    hide(curl, !t.request);
    const link = t.request && outer(t.request.graphiql);
    hide(graphiql, !link);
    attribute(graphiql, 'href', link);

    const spans = t.spans ?? [],
      { at, breaks, end } = scale(spans);
    lines(
      steps(spans, place.part).map((s) => ({ ...s, from: at(s.begin), to: at(s.begin + s.took) })),
      (s) => `${s.name} ${s.begin}`,
    );
    ticks(
      [
        ...[0, 0.25, 0.5, 0.75, 1]
          .map((f) => f * end)
          .filter(() => !breaks.length)
          .map((ms) => ({ at: at(ms), text: took(ms).replace(/\.0 /, ' ') })),
        ...breaks.map((b) => ({ at: at(b.begin + b.took / 2), text: `${took(b.took)} waiting`, skip: true })),
      ],
      (k) => `${k.skip} ${k.at}`,
    );

    const posts = t.posts ?? [],
      runs = t.executions ?? [];
    const outcomes = new Map();
    for (const p of posts) {
      const [look, words] = meaning(p.status);
      outcomes.set(look, { look, words, n: (outcomes.get(look)?.n ?? 0) + 1 });
    }
    parts(
      [
        { text: plural(t.targets, 'target') },
        runs.length && { text: `${plural(runs.length, 'operation')} executed, once each` },
        ...['ok', 'busy', 'bad', 'gone', 'waits']
          .map((look) => outcomes.get(look))
          .filter(Boolean)
          .map((o) => ({
            text: `${count(o.n)} ${o.words}`,
            look: { busy: 'wait', gone: 'mild', waits: 'mild' }[o.look] ?? o.look,
          })),
        t.parked && { text: `${count(t.parked)} parked`, look: 'bad' },
        t.retries && { text: plural(t.retries, 'retry', 'retries'), look: 'wait' },
      ]
        .filter(Boolean)
        .map((p) => ({ look: '', ...p })),
      (p) => p.text.replace(/\d/g, ''),
    );
    targets(
      posts.map((p) => ({ ...p, selected: p.connection === place.connection })),
      (p) => `${p.connection} ${p.operation}`,
    );
    settle();
    hide(cells, !posts.length);
    hide(about, !posts.length);
    if (!cells.contains(document.activeElement) && !cells.matches(':hover')) say(null);
    documents(runs, (x) => x.document + x.targets + x.viewer);
    hide(request, !t.request);
    request.open = place.mutation === 'shown';
    show(mutation, t.request?.document ?? '');
    show(variables, t.request?.variables ?? '');
    hide(variables, !t.request?.variables);
  };
}
