// What is known of topics. A topic leads to its events.
import { $, h, hide, keyed, rove, text } from './dom.js';
import { ago, count } from './format.js';
import { lead } from './place.js';
import { scan } from './stack.js';

export function topics(root, act) {
  const showScan = scan($('header', root), act);
  const body = $('tbody', root),
    empty = $('.empty', root),
    settle = rove(body, 'a');
  const rows = keyed(body, () => {
    const link = h('a', { dir: 'auto' }),
      events = h('td', { class: 'n' }),
      subscribers = h('td', { class: 'n' }),
      last = h('td', { class: 'n' });
    return {
      node: h('tr', {}, h('td', { class: 'grow' }, link), events, subscribers, last),
      update(t) {
        lead(text(link, t.name), { view: null, topic: t.name, event: null });
        text(events, count(t.events));
        text(subscribers, count(t.subscribers));
        text(last, t.ago === '–' ? t.ago : `${t.ago} ago`);
      },
    };
  });
  return (state) => {
    rows(
      state.topics.map((t) => ({ ...t, ago: ago(t.last, state.at) })),
      (t) => t.name,
    );
    settle();
    hide($('table', root), !state.topics.length);
    hide(empty, state.topics.length);
    showScan(state);
    text(
      empty,
      state.can.scan
        ? 'Topics are found by reading the connections, which costs something: the button says what.'
        : 'No topic has had an event yet: Post.',
    );
  };
}
