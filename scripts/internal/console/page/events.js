// The list of events with its filters, and how long posts took.
import { $, attribute, h, hide, keyed, rove, text } from './dom.js';
import { clock, count, plural, tail, took } from './format.js';
import { go, lead } from './place.js';

/** The events that pass the filters of a place. */
export function filtered(state, place) {
  const slow = 2 * state.latency.p50;
  return state.events.filter(
    (e) =>
      (!place.topic || e.topic === place.topic) && (!place.slow || e.last > slow) && (!place.retries || e.retries > 0),
  );
}

/** What is to be said of an event, and how it looks. */
function note(e) {
  if (e.parked) return [`${count(e.parked)} parked`, 'bad'];
  if (!e.done) return [e.retries ? plural(e.retries, 'retry', 'retries') : 'on its way', 'wait'];
  if (e.retries) return [plural(e.retries, 'retry', 'retries'), 'wait'];
  if (e.gone) return [`${count(e.gone)} gone`, 'mild'];
  return e.targets ? ['', ''] : ['nobody', 'mild'];
}

export function events(root, post) {
  const body = $('tbody', root),
    empty = $('.empty', root),
    topic = $('#topic', root);
  const settle = rove(body, 'a');
  const rows = keyed(body, () => {
    const link = h('a'),
      id = h('td', { class: 'id' }),
      family = h('small'),
      own = h('span'),
      name = h('td', { class: 'grow topic' }, h('bdi', {}, family, own));
    const to = h('td', { class: 'n' }),
      ok = h('td', { class: 'n' }),
      said = h('td'),
      last = h('td', { class: 'n' });
    const node = h('tr', {}, h('td', {}, link), id, name, to, ok, said, last);
    return {
      node,
      update(e) {
        node.dataset.id = e.id;
        text(link, clock(e.at));
        attribute(link, 'aria-label', `${clock(e.at)} ${e.topic} ${e.id}`);
        attribute(link, 'aria-current', e.selected ? 'true' : null);
        lead(link, { event: e.id });
        text(id, tail(e.id)).title = e.id;
        const cut = e.topic.lastIndexOf('/', e.topic.length - 2) + 1;
        text(family, e.topic.slice(0, cut));
        text(own, e.topic.slice(cut));
        name.title = e.topic;
        text(to, count(e.targets));
        text(ok, e.targets ? count(e.delivered) : '–').className =
          `n ${e.targets && e.delivered === e.targets ? 'ok' : ''}`;
        const [words, look] = note(e);
        text(said, words).className = look;
        text(last, e.last ? took(e.last) : '–');
      },
    };
  });
  const options = keyed(topic, () => {
    const node = h('option');
    return {
      node,
      update: (t) => {
        node.value = t.value;
        text(node, t.text);
      },
    };
  });
  topic.addEventListener('change', () => go({ topic: topic.value, event: null }));
  for (const name of ['slow', 'retries']) {
    $(`#${name}`, root).addEventListener('click', ({ target }) => {
      go({ [name]: target.getAttribute('aria-pressed') === 'true' ? null : '1' });
    });
  }
  const postFirst = h('button', { type: 'button', class: 'primary', onclick: post }, 'Post');
  const clear = h(
    'button',
    { type: 'button', onclick: () => go({ topic: null, slow: null, retries: null }) },
    'Clear the filters',
  );

  return (state, place, selected) => {
    const shown = filtered(state, place);
    const names = [...new Set([...state.topics.map((t) => t.name), ...(place.topic ? [place.topic] : [])])].sort();
    options([{ value: '', text: 'all topics' }, ...names.map((t) => ({ value: t, text: t }))], (t) => `=${t.value}`);
    if (document.activeElement !== topic) topic.value = place.topic ?? '';
    for (const name of ['slow', 'retries'])
      attribute($(`#${name}`, root), 'aria-pressed', String(Boolean(place[name])));
    rows(
      shown.map((e) => ({ ...e, selected: e.id === selected })),
      (e) => e.id,
    );
    settle();
    hide($('table', root), !shown.length);
    hide(empty, shown.length);
    if (shown.length) return;
    const why = state.events.length ? 'filtered' : state.can.post ? 'post' : 'wait';
    if (empty.dataset.why === why) return;
    empty.dataset.why = why;
    empty.replaceChildren(
      ...{
        filtered: ['No event passes the filters. ', clear],
        post: ['Nothing has happened yet: ', postFirst],
        wait: ['Nothing has happened yet. An event stands here as soon as its row is written.'],
      }[why],
    );
  };
}

export function histogram(root) {
  const bars = h('div', { class: 'bars', role: 'img' }),
    low = h('span'),
    high = h('span'),
    total = h('span', { class: 'end' });
  root.append(
    h('figcaption', {}, h('h2', {}, 'Write to post, ms'), total),
    bars,
    h('div', { class: 'axis' }, low, high),
  );
  const list = keyed(bars, () => {
    const node = h('i');
    return {
      node,
      update(b) {
        node.style.height = b.count ? `${Math.max(3, 100 * b.share)}%` : '0';
        node.className = b.late ? 'late' : '';
        node.title = `${b.name}: ${plural(b.count, 'post')}`;
      },
    };
  });
  return (state) => {
    // Empty bins before the first are left out.
    const used = state.histogram.findIndex((b) => b.count);
    const bins = state.histogram
      .map((b, i) => ({ ...b, from: state.histogram[i - 1]?.upTo ?? 0 }))
      .slice(Math.max(0, used - 1));
    const all = bins.reduce((sum, b) => sum + b.count, 0);
    const most = Math.max(...bins.map((b) => b.count));
    hide(root, !all);
    if (!all) return;
    text(total, `the latest ${plural(all, 'post')}`);
    let seen = 0;
    list(
      bins.map((b) => {
        const late = seen >= 0.99 * all;
        seen += b.count;
        return { count: b.count, share: b.count / most, late, name: `${b.from} to ${Math.ceil(b.upTo)} ms` };
      }),
      (b) => b.name,
    );
    attribute(
      bars,
      'aria-label',
      bins
        .filter((b) => b.count)
        .map((b) => `${b.from} to ${Math.ceil(b.upTo)} ms: ${b.count}`)
        .join(', '),
    );
    text(low, count(bins[0].from));
    text(high, count(Math.ceil(bins.at(-1).upTo)));
  };
}
