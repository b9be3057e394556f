// What only a stack's console has: a button that reads its connections, and the dashboard.
import { attribute, h, hide, keyed, text } from './dom.js';
import { ago, count, usd } from './format.js';

/** A stack's page is served by a machine that is not the stack's. */
export const isStack = (state) => Boolean(state.http);

/** The button stands in a panel's header. It says what the reading costs, and sends that along. */
export function scan(header, act) {
  let price = null;
  const button = h('button', { type: 'button', class: 'small' });
  button.addEventListener('click', () => act(button, ['scan'], { usd: price }, 'The connections are being read'));
  const tools = h('span', { class: 'tools' }, button);
  header.append(tools);
  return (state) => {
    const s = state.scan;
    hide(tools, !state.can.scan || !s);
    if (!s) return;
    price = s.usd;
    text(
      button,
      s.running ? 'Reading…' : `Read all${was(s) ? ' again' : ''}: about ${count(s.rows)} rows, ${usd(s.usd)}`,
    );
    attribute(button, 'aria-disabled', s.running ? 'true' : null);
    attribute(button, 'title', 'Reads the whole table of connections. DynamoDB counts its rows every six hours.');
  };
}

const was = (s) => new Date(s.at).getUTCFullYear() > 2000;

/** Whether nobody knows yet how many connections there are. */
export const isUnread = (state) => isStack(state) && !(state.scan && was(state.scan));

/** How many connections there are, and when that was read. */
export function open(state) {
  if (isUnread(state)) return '';
  return `${count(state.open)} open${isStack(state) ? ` ${ago(state.scan.at, state.at)} ago` : ''}`;
}

/** The figures of the dashboard that are not zero. */
export function dashboard(root) {
  const body = h('tbody');
  root.append(
    h(
      'header',
      {},
      h('h2', { id: 'dashboard-title' }, 'Dashboard'),
      h('span', { class: 'end' }, 'a minute, two minutes ago'),
    ),
    h('table', {}, body),
  );
  const rows = keyed(body, () => {
    const part = h('td', { class: 'mild' }),
      label = h('td', { class: 'grow' }),
      value = h('td', { class: 'n' });
    return {
      node: h('tr', {}, part, label, value),
      update(f) {
        text(part, f.part);
        text(label, f.label);
        text(value, count(Math.round(f.value * 10) / 10)).className =
          `n ${['errors', 'throttles', 'losses'].includes(f.part) ? 'bad' : ''}`;
      },
    };
  });
  return (state) => {
    hide(root, !state.figures.length);
    rows(state.figures, (f) => `${f.part} ${f.label}`);
  };
}
