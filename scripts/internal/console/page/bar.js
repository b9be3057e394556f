// The figures above the map, and the line at the foot.
import { $, attribute, h, hide, keyed, text } from './dom.js';
import { count, plural, took, usd } from './format.js';
import { isStack } from './stack.js';

export function figures(root) {
  const list = keyed(root, () => {
    const term = h('dt'),
      value = h('dd');
    const node = h('div', {}, term, value);
    return {
      node,
      update(f) {
        text(term, f.name);
        text(value, f.value);
        node.title = f.title;
        node.className = f.look ?? '';
      },
    };
  });
  return (s) => {
    const waiting = s.owed - s.delivered - s.ended - s.lost;
    list(
      [
        {
          name: 'p50',
          value: s.latency.p50 ? took(s.latency.p50) : '–',
          title: 'Half of the events took no longer from write to last post',
        },
        {
          name: 'p99',
          value: s.latency.p99 ? took(s.latency.p99) : '–',
          title: '99 of 100 events took no longer from write to last post',
        },
        { name: 'owed', value: count(s.owed), title: 'Deliveries to the subscribers of all events' },
        {
          name: 'delivered',
          value: count(s.delivered),
          look: s.delivered ? 'ok' : '',
          title: 'Of those owed: they reached the client’s socket',
        },
        {
          name: 'ended',
          value: count(s.ended),
          title: 'Of those owed: the subscriber had gone, expired or completed',
        },
        {
          name: 'lost',
          value: count(s.lost),
          look: s.lost ? 'bad' : 'ok',
          title: 'Of those owed: given up, and kept in dead letters',
        },
        {
          name: 'on their way',
          value: count(Math.max(0, waiting)),
          look: waiting > 0 ? 'wait' : '',
          title: 'Of those owed: no outcome yet',
        },
        isStack(s)
          ? { name: 'this console', value: usd(s.usd), title: 'What it has asked AWS for, at prices of us-east-1' }
          : { name: 'on AWS', value: usd(s.usd), title: 'What this run would have cost' },
        !isStack(s) && {
          name: 'a million pushes',
          value: s.perMillion ? usd(s.perMillion) : '–',
          title: 'At this mix of work',
        },
      ].filter(Boolean),
      (f) => f.name,
    );
  };
}

export function foot(root) {
  const costs = keyed($('#costs', root), () => {
    const value = h('b'),
      node = h('span');
    return { node, update: (c) => node.replaceChildren(`${c.service} `, text(value, usd(c.usd))) };
  });
  const notes = keyed($('#notes', root), () => {
    const node = h('span');
    return {
      node,
      update: (n) => {
        text(node, n.text);
        node.className = n.look;
      },
    };
  });
  return (s) => {
    const services = new Map();
    for (const c of s.bill) services.set(c.service, (services.get(c.service) ?? 0) + c.usd);
    costs(
      [...services].filter(([, cost]) => cost > 0).map(([service, cost]) => ({ service, usd: cost })),
      (c) => c.service,
    );
    notes(
      [
        ...s.alarms.map((a) => ({ text: `alarm: ${a}`, look: 'bad' })),
        ...s.notes.map((n) => ({ text: n, look: 'wait' })),
      ],
      (n) => n.text,
    );
    text(
      $('#where', root),
      [s.where, !isStack(s) && `${plural(s.open, 'socket')} open`].filter(Boolean).join(' · '),
    );
  };
}

/** Buttons for what this deployment can do. */
export function actions(s) {
  if (isStack(s)) {
    attribute($('#graphiql'), 'href', s.http);
    attribute($('#start'), 'href', new URL('/', s.http).href);
  }
  hide($('#post'), !s.can.post);
  hide($('#burst'), !s.can.post);
  hide($('#more'), !s.can.subscribe);
  hide($('#none'), !s.can.subscribe || !s.subscribers);
  text($('#none'), `Close ${s.subscribers}`);
}
