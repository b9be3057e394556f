// The console: asks for the state twice a second and gives it to the panels.
import { read, readState, Refused, send } from './api.js';
import { actions, figures, foot } from './bar.js';
import { bill } from './bill.js';
import { connections, log } from './connections.js';
import { $, attribute, h, hide, text } from './dom.js';
import { events, filtered, histogram } from './events.js';
import { faults } from './faults.js';
import { count } from './format.js';
import { functions } from './functions.js';
import { map } from './map.js';
import { go, lead, place, whenMoved } from './place.js';
import { chosen, deadLetters, letters, queues } from './queues.js';
import { dashboard } from './stack.js';
import { topics } from './topics.js';
import { trace } from './trace.js';

const every = 500; // ms
const views = ['live', 'connections', 'topics', 'queues', 'bill'];

let state = null,
  asked = 0;
/** What is shown beside the lists: {key, was, value, message}. */
const details = { trace: { message: '' }, log: { message: '' }, letters: { message: '' } };

function toast(words, look = '') {
  const node = h('p', { class: look }, words);
  $('#toasts').append(node);
  setTimeout(() => node.remove(), look === 'bad' ? 8000 : 3000);
}

/** Does something and says what became of it. The button cannot be pressed meanwhile. */
async function act(button, path, body, done) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  attribute(button, 'aria-disabled', 'true');
  try {
    await send(path, body);
    toast(done);
  } catch (error) {
    toast(error instanceof Refused ? error.message : 'The console does not answer.', 'bad');
  }
  attribute(button, 'aria-disabled', null);
  await refresh();
}

async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    toast('Copied');
  } catch {
    toast('The browser does not let the page copy.', 'bad');
  }
}

const post = () => act($('#post'), ['post'], { times: 1, perSecond: 0 }, 'Posted');
$('#post').addEventListener('click', post);
$('#burst').addEventListener('click', (e) =>
  act(e.target, ['post'], { times: 500, perSecond: 50 }, '500 messages in 10 seconds'),
);
$('#more').addEventListener('click', (e) => act(e.target, ['subscribers'], { add: 100 }, '100 more subscribers'));
$('#none').addEventListener('click', (e) => act(e.target, ['subscribers'], { add: 0 }, 'Their sockets are closed'));

const panels = [
  figures($('#figures')),
  foot($('footer')),
  map($('#map')),
  histogram($('#histogram')),
  connections($('#connections'), act),
  topics($('#topics'), act),
  queues($('#queues')),
  bill($('#bill')),
  faults($('#break'), act),
  deadLetters($('#dead')),
  functions($('#functions'), act),
  dashboard($('#dashboard')),
  actions,
];
const showEvents = events($('#events'), post),
  showTrace = trace($('#trace'), act, copy),
  showLog = log($('#log'), act);
const showLetters = letters($('#letters'), act);

/** The event that is shown: the one that was chosen, or the newest. That stays while somebody is at it. */
function event(p) {
  if (p.event) return p.event;
  const busy = $('#trace').matches(':hover') || $('#trace').contains(document.activeElement);
  return (busy && details.trace.key) || filtered(state, p)[0]?.id;
}

/** Reads what stands beside the lists, if it is another or has changed. */
async function detail(name, key, was, path, missing) {
  const d = details[name];
  // The old one stays until the new one is there: nothing flickers while events come.
  if (d.key !== key)
    Object.assign(d, { key, was: null, value: key && name === 'trace' ? d.value : null, message: '' });
  if (!key) d.message = missing;
  if (!key || d.was === was || d.reading) return;
  d.reading = true;
  try {
    const value = await read(...path);
    if (d.key === key) Object.assign(d, { value, was, message: '' });
  } catch (error) {
    if (d.key === key && error instanceof Refused) Object.assign(d, { value: null, was, message: error.message });
  } finally {
    d.reading = false;
  }
  render();
  if (d.key !== key) lookAtDetails();
}

function lookAtDetails() {
  const p = place(),
    view = viewOf(p);
  if (view === 'live') {
    const id = event(p),
      row = state.events.find((e) => e.id === id);
    // An event on its way changes by the time that its spans end, too.
    detail(
      'trace',
      id,
      `${state.began} ${JSON.stringify(row)} ${row && !row.done ? state.at : ''}`,
      ['events', id],
      'The way of an event, from its write to each socket, stands here.',
    );
  }
  const connection = state.connections.find((c) => c.id === p.connection);
  detail(
    'log',
    p.connection,
    `${state.began} ${JSON.stringify(connection)}`,
    ['connections', p.connection],
    'Choose a connection: what it and the server said stands here.',
  );
  if (view === 'queues') {
    const name = chosen(state, p),
      queue = state.queues.find((q) => q.name === name);
    detail(
      'letters',
      queue?.from ? name : undefined,
      `${state.began} ${queue?.depth} ${queue?.inFlight}`,
      ['dead', name],
      '',
    );
  }
}

const viewOf = (p) => (views.includes(p.view) ? p.view : 'live');

function render() {
  if (!state) return;
  const p = place(),
    view = viewOf(p);
  if (document.body.dataset.view !== view) {
    document.body.dataset.view = view;
    // In its own view the log is what is looked at, elsewhere it stands beside.
    (view === 'connections' ? $('#detail') : $('#side')).prepend($('#log'));
  }
  for (const link of document.querySelectorAll('#views [data-view]')) {
    attribute(link, 'aria-current', link.dataset.view === view ? 'page' : null);
    lead(link, { view: link.dataset.view === 'live' ? null : link.dataset.view });
  }
  const badge = (name, n) => text($(`#views [data-view="${name}"] b`), n ? count(n) : '');
  badge('connections', state.open);
  badge('topics', state.topics.length);
  badge('queues', state.dead);
  text($('#app'), state.app);
  const shown = event(p);
  showEvents(state, p, shown);
  for (const panel of panels) panel(state, p);
  const { trace: t, log: l, letters: d } = details;
  showTrace(t.value, p, { following: !p.event, message: t.message, can: state.can });
  hide($('#log'), view !== 'connections' && !p.connection);
  showLog(l.value, p, { message: l.message, can: state.can });
  showLetters(state, p, d.value?.letters, d.message);
}

/** Asks for the state now. Without an answer the page says so and asks again by itself. */
async function refresh() {
  const turn = ++asked;
  try {
    const now = await readState();
    if (turn < asked) return; // a later question was asked meanwhile
    state = now;
    trouble('');
    render();
    lookAtDetails();
  } catch (error) {
    if (turn < asked) return;
    trouble(
      error instanceof Refused
        ? error.message
        : 'Subwire does not answer. What stands here is from before; it is asked again by itself.',
    );
  }
}

function trouble(words) {
  text($('#trouble'), words);
  hide($('#trouble'), !words);
  document.body.classList.toggle('gone', Boolean(words));
}

let timer;
async function loop() {
  clearTimeout(timer);
  if (!document.hidden) await refresh();
  clearTimeout(timer);
  timer = setTimeout(loop, every);
}
document.addEventListener('visibilitychange', () => document.hidden || loop());
whenMoved(() => {
  if (!state) return;
  render();
  lookAtDetails();
});

// The theme: the system's until one is chosen.
const stored = {
  get(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      /* storage is blocked: for this visit only */
    }
  },
};
const system = matchMedia('(prefers-color-scheme: dark)');
const theme = () => document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light');
function nameTheme() {
  const other = theme() === 'dark' ? 'light' : 'dark';
  text($('#theme'), other === 'light' ? '☀' : '☾');
  attribute($('#theme'), 'aria-label', `Use the ${other} theme`);
}
$('#theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = theme() === 'dark' ? 'light' : 'dark';
  stored.set('subwire.theme', theme());
  nameTheme();
});
system.addEventListener('change', nameTheme);
nameTheme();

// The keyboard.
const dialog = $('#keys'),
  shortcuts = $('#shortcuts');
shortcuts.checked = stored.get('subwire.shortcuts') !== 'off';
shortcuts.addEventListener('change', () => stored.set('subwire.shortcuts', shortcuts.checked ? 'on' : 'off'));
$('#help').addEventListener('click', () => dialog.showModal());
dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  const p = place();
  if (event.key === 'Escape') {
    const last = ['connection', 'part', 'event', 'queue'].find((name) => p[name]);
    if (last) go({ [last]: null });
    return;
  }
  if (!shortcuts.checked || event.target.matches('input:not([type="checkbox"]), select, textarea')) return;
  const view = views[Number(event.key) - 1];
  if (event.key === '?') dialog.showModal();
  else if (event.key === 'p' && state?.can.post) post();
  else if (event.key === 'e')
    [...document.querySelectorAll('#list a[tabindex="0"]')].find((a) => a.offsetParent)?.focus();
  else if (view) go({ view: view === 'live' ? null : view });
  else return;
  event.preventDefault();
});

loop();
