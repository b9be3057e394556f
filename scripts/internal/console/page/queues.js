// Queues, and dead letters: looked at first, then sent again.
import { $, attribute, h, hide, keyed, rove, text } from './dom.js';
import { ago, count, plural, tail } from './format.js';
import { lead } from './place.js';

const dead = (state) => state.queues.filter((q) => q.from);

export function queues(root) {
  const body = $('tbody', root),
    settle = rove(body, 'a');
  const rows = keyed(body, () => {
    const link = h('a'),
      from = h('td', { class: 'mild grow' }),
      depth = h('td', { class: 'n' }),
      flight = h('td', { class: 'n' });
    return {
      node: h('tr', {}, h('td', {}, link), from, depth, flight),
      update(q) {
        lead(text(link, q.name), { queue: q.name });
        attribute(link, 'aria-current', q.selected ? 'true' : null);
        text(from, q.from);
        text(depth, count(q.depth)).className = `n ${q.depth && q.from ? 'bad' : q.depth ? 'wait' : ''}`;
        text(flight, count(q.inFlight));
      },
    };
  });
  return (state, place) => {
    const order = [...dead(state), ...state.queues.filter((q) => !q.from)];
    rows(
      order.map((q) => ({ ...q, selected: q.name === chosen(state, place) })),
      (q) => q.name,
    );
    settle();
  };
}

/** The queue whose letters are shown: the place's, or else the first with letters. */
export function chosen(state, place) {
  if (place.queue) return place.queue;
  return (dead(state).find((q) => q.depth > 0) ?? dead(state)[0])?.name;
}

export function letters(root, act) {
  const name = h('code', { class: 'name' }),
    again = h('button', { type: 'button', class: 'primary' });
  const body = h('tbody'),
    empty = h('p', { class: 'empty' });
  const table = h(
    'table',
    {},
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        ...['event', 'topic', 'targets', 'reason', 'tries', 'age'].map((t) =>
          h('th', /targets|tries|age/.test(t) ? { class: 'n' } : {}, t),
        ),
      ),
    ),
    body,
  );
  root.append(
    h('header', {}, h('h2', { id: 'letters-title' }, 'Dead letters'), name, h('span', { class: 'tools' }, again)),
    h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Letters' }, table, empty),
  );
  let queue;
  again.addEventListener('click', () => act(again, ['dead', queue, 'redrive'], {}, 'Sent again'));
  const rows = keyed(body, () => {
    const event = h('a'),
      topic = h('td', { class: 'grow', dir: 'auto' }),
      targets = h('td', { class: 'n' });
    const reason = h('td', { class: 'bad' }),
      tries = h('td', { class: 'n' }),
      age = h('td', { class: 'n' });
    return {
      node: h('tr', {}, h('td', { class: 'id' }, event), topic, targets, reason, tries, age),
      update(l) {
        lead(text(event, tail(l.event || l.id)), l.event ? { view: null, event: l.event } : {}).title =
          l.event || l.id;
        text(topic, l.topic || '–').title = l.topic;
        text(targets, count(l.targets ?? 0));
        text(reason, l.reason || 'unknown').title = l.reason;
        text(tries, l.tries ?? '–');
        text(age, l.age);
      },
    };
  });
  return (state, place, found, message) => {
    queue = chosen(state, place);
    const of = state.queues.find((q) => q.name === queue),
      list = found ?? [];
    text(name, queue ?? '');
    hide(table, !list.length);
    hide(again, !list.length || !of?.from || !state.can.redrive);
    text(again, `Send ${plural(list.length, 'letter')} again`);
    rows(
      list.map((l) => ({ ...l, age: ago(l.at, state.at) })),
      (l) => l.id,
    );
    hide(empty, list.length);
    text(
      empty,
      message ||
        (of && !of.from
          ? 'This queue is work in progress: what cannot be delivered goes on to its dead letters.'
          : 'No dead letters. What was given up after all tries stands here, and can be sent again.'),
    );
  };
}

/** The short list beside the events. */
export function deadLetters(root) {
  const body = h('ul', { class: 'rows' }),
    empty = h('p', { class: 'empty' }, 'None: nothing is lost.');
  root.append(h('header', {}, h('h2', { id: 'dead-title' }, 'Dead letters')), body, empty);
  const rows = keyed(body, () => {
    const name = h('code'),
      depth = h('b', { class: 'bad' }),
      link = h('a', { class: 'button' }, 'Look inside');
    return {
      node: h('li', {}, name, depth, link),
      update(q) {
        text(name, q.name);
        text(depth, count(q.depth));
        attribute(link, 'aria-label', `Look inside ${q.name}`);
        lead(link, { view: 'queues', queue: q.name });
      },
    };
  });
  return (state) => {
    const list = dead(state).filter((q) => q.depth > 0);
    rows(list, (q) => q.name);
    hide(empty, list.length);
  };
}
