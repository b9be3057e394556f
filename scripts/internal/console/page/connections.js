// The sockets, and the protocol of one of them.
import { $, attribute, h, hide, keyed, rove, text } from './dom.js';
import { ago, clock, count, head, took } from './format.js';
import { show } from './highlight.js';
import { lead } from './place.js';
import { open, scan } from './stack.js';

export function connections(root, act) {
  const showScan = scan($('header', root), act);
  const body = $('tbody', root),
    empty = $('.empty', root),
    settle = rove(body, 'a');
  const rows = keyed(body, () => {
    const link = h('a'),
      viewer = h('td', { class: 'grow', dir: 'auto' }),
      client = h('td', { class: 'grow', dir: 'auto' });
    const operations = h('td', { class: 'n' }),
      in_ = h('td', { class: 'n' }),
      out = h('td', { class: 'n' }),
      since = h('td', { class: 'n' });
    const node = h('tr', {}, h('td', {}, link), viewer, client, operations, in_, out, since);
    return {
      node,
      update(c) {
        text(link, head(c.id)).title = c.id;
        attribute(link, 'aria-current', c.selected ? 'true' : null);
        lead(link, { connection: c.id });
        text(viewer, c.viewer || '–').title = c.viewer;
        text(client, c.closed || c.client || '–').title = c.closed || c.client;
        text(operations, c.operations);
        text(in_, count(c.in));
        text(out, count(c.out));
        text(since, c.age);
        node.className = c.closed ? 'closed' : '';
      },
    };
  });
  return (state, place) => {
    const all = state.connections;
    rows(
      all.map((c) => ({ ...c, age: ago(c.since, state.at), selected: c.id === place.connection })),
      (c) => c.id,
    );
    settle();
    showScan(state);
    text($('.end', root), open(state));
    hide($('table', root), !all.length);
    hide(empty, all.length);
    text(
      empty,
      state.can.subscribe
        ? 'Nobody is connected: open the chat, or add 100 subscribers.'
        : state.can.scan
          ? 'Who is connected stands in a table. To read it costs something: the button says what.'
          : 'Nobody has connected since the console began.',
    );
  };
}

/** A message's type and id, and what else it says. */
function parts(message) {
  try {
    const { type, id, payload } = JSON.parse(message);
    if (typeof type === 'string') return { type, id, rest: payload === undefined ? '' : JSON.stringify(payload) };
  } catch {
    // It is no JSON: shown as it is.
  }
  return { rest: message };
}

/** The protocol's log. act is the page's. */
export function log(root, act) {
  const id = h('code', { class: 'name' }),
    client = h('p', { class: 'meta', dir: 'auto' });
  const cut = h(
    'button',
    { type: 'button', class: 'danger small', title: 'Closes this socket, as a bad network does' },
    'Cut',
  );
  const revoke = h(
    'button',
    { type: 'button', class: 'danger small', title: 'Ends all sockets of this viewer' },
    'Revoke',
  );
  const close = h('a', { class: 'button icon small', 'aria-label': 'Close the connection’s log' }, '✕');
  const body = h('ol', { class: 'frames' }),
    empty = h('p', { class: 'empty' });
  const scroll = h(
    'div',
    { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Messages of the protocol' },
    body,
  );
  root.append(
    h('header', {}, h('h2', { id: 'log-title' }, 'Connection'), id, h('span', { class: 'tools' }, cut, revoke, close)),
    client,
    scroll,
    empty,
  );
  let shown = null;
  cut.addEventListener('click', () => act(cut, ['connections', shown.id, 'cut'], {}, 'Cut'));
  revoke.addEventListener('click', () => act(revoke, ['connections', shown.id, 'revoke'], {}, 'Revoked'));
  const frames = keyed(body, () => {
    const at = h('time'),
      arrow = h('span', { class: 'arrow' }),
      type = h('b'),
      payload = h('span'),
      code = h('code', { dir: 'auto' }, type, payload),
      took_ = h('span', { class: 'n' }),
      size = h('span', { class: 'n' });
    const node = h('li', {}, at, arrow, code, took_, size);
    return {
      node,
      update(f) {
        text(at, clock(f.at));
        text(arrow, f.in ? '↑' : '↓').title = f.in ? 'from the client' : 'to the client';
        attribute(arrow, 'aria-label', f.in ? 'from the client' : 'to the client');
        attribute(arrow, 'role', 'img');
        const { type: kind, id: name, rest } = parts(f.text);
        text(type, [kind, name].filter(Boolean).join(' '));
        show(payload, rest);
        code.title = f.text;
        text(took_, f.status >= 300 ? f.status : f.took ? took(f.took) : '').className =
          f.status >= 300 ? 'n bad' : 'n';
        text(size, `${count(f.bytes)} B`);
        node.className = f.in ? 'in' : 'out';
      },
    };
  });
  return (l, place, { message, can }) => {
    const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 8,
      other = l?.id !== shown?.id;
    shown = l;
    for (const node of [id, client, scroll]) hide(node, !l);
    hide(empty, l);
    text(empty, message);
    hide(cut, !l || !can.cut || l.closed);
    hide(revoke, !l || !can.revoke || l.closed || !l.viewer);
    hide(close, !place.connection);
    lead(close, { connection: null });
    if (!l) return;
    attribute(text(id, head(l.id)), 'title', l.id);
    text(
      client,
      [l.viewer || 'no viewer', l.closed ? `closed: ${l.closed}` : '', l.client].filter(Boolean).join(' · '),
    );
    attribute(client, 'title', client.textContent);
    const list = l.frames ?? [];
    frames(list, (f) => `${f.at} ${f.in} ${f.bytes} ${f.text.length}`);
    if (!list.length)
      frames(
        [{ at: l.since, in: true, text: can.frames && !l.id.startsWith('node~') ? 'nothing yet' : 'frames are not recorded here', bytes: 0 }],
        () => 'none',
      );
    if (below || other) scroll.scrollTop = scroll.scrollHeight;
  };
}
