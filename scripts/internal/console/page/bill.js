// What this run would cost on AWS.
import { $, h, hide, keyed, text } from './dom.js';
import { count, usd } from './format.js';
import { isStack } from './stack.js';

export function bill(root) {
  const foot = h('td', { class: 'n' }),
    million = h('td', { class: 'n' });
  $('tfoot', root).append(
    h('tr', {}, h('th', { colspan: 3 }, 'so far'), foot, h('td')),
    h('tr', {}, h('th', { colspan: 3 }, 'a million pushes at this mix'), million, h('td')),
  );
  const rows = keyed($('tbody', root), () => {
    const service = h('td'),
      what = h('td', { class: 'grow mild' }),
      units = h('td', { class: 'n' }),
      price = h('td', { class: 'n' });
    const bar = h('i');
    return {
      node: h('tr', {}, service, what, units, price, h('td', { class: 'share' }, bar)),
      update(c) {
        text(service, c.service);
        text(what, c.what);
        text(units, count(c.units));
        text(price, usd(c.usd));
        bar.style.width = `${100 * c.share}%`;
      },
    };
  });
  return (state) => {
    const most = Math.max(...state.bill.map((c) => c.usd), Number.MIN_VALUE);
    rows(
      state.bill.toSorted((a, b) => b.usd - a.usd).map((c) => ({ ...c, share: c.usd / most })),
      (c) => `${c.service} ${c.what}`,
    );
    if (isStack(state)) text($('.end', root), 'what this console has asked AWS for, at prices of us-east-1');
    hide(million.parentNode, isStack(state));
    text(foot, usd(state.usd));
    text(million, state.perMillion ? usd(state.perMillion) : '–');
    hide($('table', root), !state.bill.length);
    hide($('.empty', root), state.bill.length);
    text($('.empty', root), 'Nothing was paid for yet: Post.');
  };
}
