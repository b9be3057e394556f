// Break it: every fault is a switch with its chance, and says how often it was met.
import { attribute, h, hide, keyed, text } from './dom.js';
import { count, plural } from './format.js';
import { go } from './place.js';
import { isStack } from './stack.js';

/** Those that show most stand first, with names that are short. */
const first = {
  'gateway:down': 'Gateway down',
  'post:429': 'Busy clients',
  'post:500': 'Posts fail',
  'disconnect:drop': 'Lost $disconnect',
  'dynamodb:throttle': 'DynamoDB throttles',
  'lambda.sender:kill': 'Senders die',
};
const order = Object.keys(first);

export function faults(root, act) {
  const heal = h('button', { type: 'button', class: 'small' }, 'Heal all'),
    seed = h('span', { class: 'end' });
  const main = h('ul', { class: 'switches' }),
    rest = h('ul', { class: 'switches' }),
    summary = h('summary');
  const more = h('details', {}, summary, rest),
    cannot = h('p', { class: 'empty' }, 'Faults are for the local cloud: run subwire local, and break it there.');
  const body = h('div', {}, main, more);
  root.append(
    h('header', {}, h('h2', { id: 'break-title' }, 'Break it'), seed, h('span', { class: 'tools' }, heal)),
    body,
    cannot,
  );
  heal.addEventListener('click', () => act(heal, ['heal'], {}, 'Everything is healed'));
  summary.addEventListener('click', (event) => {
    event.preventDefault();
    go({ faults: more.open ? null : 'all' });
  });

  const make = () => {
    let f;
    const toggle = h('input', { type: 'checkbox', role: 'switch' }),
      name = h('span', { class: 'fault' }),
      what = h('small');
    const chance = h('input', { type: 'number', min: '0.1', max: '100', step: 'any', inputmode: 'decimal' });
    const percent = h('span', { class: 'percent' }, chance, ' %'),
      met = h('b');
    const tell = () => {
      const share = Number(chance.value) / 100;
      const body = { name: f.name, on: toggle.checked, chance: share > 0 && share <= 1 ? share : f.chance };
      return act(toggle, ['faults'], body, `${f.name} is ${toggle.checked ? 'on' : 'off'}`);
    };
    toggle.addEventListener('change', tell);
    chance.addEventListener('change', () => toggle.checked && tell());
    const node = h('li', {}, h('label', {}, toggle, h('span', {}, name, ' ', what)), percent, met);
    return {
      node,
      update(now) {
        f = now;
        text(name, first[f.name] ?? (f.what || f.name));
        text(what, f.name);
        node.title = f.what;
        toggle.checked = f.on;
        attribute(chance, 'aria-label', `Chance of ${f.name}, in percent`);
        hide(percent, !f.chance || f.name.includes('(')); // the gateway's is no call's, a topic's is always met
        if (document.activeElement !== chance) chance.value = Number((f.chance * 100).toFixed(4));
        text(met, f.met ? `${count(f.met)} met` : '');
        node.className = f.on ? 'on' : '';
      },
    };
  };
  const mainRows = keyed(main, make),
    restRows = keyed(rest, make);

  return (state, place) => {
    hide(root, isStack(state));
    hide(body, !state.can.break);
    hide(heal, !state.can.break);
    hide(cannot, state.can.break);
    text(seed, state.can.break ? `seed ${state.seed}` : '');
    const known = state.faults.filter((f) => order.includes(f.name));
    const others = state.faults.filter((f) => !order.includes(f.name));
    mainRows(
      known.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name)),
      (f) => f.name,
    );
    restRows(others, (f) => f.name);
    const on = others.filter((f) => f.on).length;
    text(summary, `${plural(others.length, 'more fault')}${on ? ` · ${on} on` : ''}`);
    hide(more, !others.length);
    more.open = place.faults === 'all';
  };
}
