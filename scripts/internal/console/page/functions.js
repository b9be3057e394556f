// Functions and their processes.
import { attribute, h, hide, keyed, text } from './dom.js';
import { count } from './format.js';

const ms = (n) => (n ? n.toFixed(n < 100 ? 1 : 0) : '–');

export function functions(root, act) {
  const body = h('tbody'),
    kills = h('th', {}, h('span', { class: 'hidden' }, 'kill'));
  root.append(
    h('header', {}, h('h2', { id: 'functions-title' }, 'Functions')),
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', {}, 'ƒ'),
          ...['warm', 'cold', 'p50, ms', 'p99', 'err'].map((t) => h('th', { class: 'n' }, t)),
          kills,
        ),
      ),
      body,
    ),
  );
  const rows = keyed(body, () => {
    const name = h('td', { class: 'grow' }),
      figures = [0, 1, 2, 3, 4].map(() => h('td', { class: 'n' }));
    let f;
    const kill = h(
      'button',
      { type: 'button', class: 'danger small', title: 'Kills a process, in the middle of its work if it has some' },
      'Kill',
    );
    kill.addEventListener('click', () =>
      act(kill, ['functions', f.name, 'kill'], {}, `A process of ${f.name} was killed`),
    );
    const node = h('tr', {}, name, ...figures, h('td', { class: 'n' }, kill));
    return {
      node,
      update(now) {
        f = now;
        text(name, f.name).title = `${count(f.invocations)} invocations`;
        [f.busy ? `${f.busy}/${f.warm}` : f.warm, f.cold, ms(f.p50), ms(f.p99), count(f.errors)].forEach((value, i) =>
          text(figures[i], value),
        );
        figures[4].className = `n ${f.errors ? 'bad' : ''}`;
        attribute(kill, 'aria-label', `Kill ${f.name}`);
        attribute(kill, 'aria-disabled', f.warm ? null : 'true');
        hide(kill, !f.can);
        node.className = f.selected ? 'selected' : '';
      },
    };
  });
  return (state, place) => {
    rows(
      state.functions.map((f) => ({
        ...f,
        can: state.can.kill,
        selected: Boolean(place.part?.split(' ').includes(f.name)),
      })),
      (f) => f.name,
    );
    hide(kills, !state.can.kill);
    hide(root, !state.functions.length);
  };
}
