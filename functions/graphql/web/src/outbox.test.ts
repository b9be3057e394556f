import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, Refusal, mostDrafts, waiting, type Draft, type Lock } from './outbox.ts';
import { Storage } from './storage.ts';

const fake = (items: Record<string, string> = {}) => ({
  items,
  getItem: (key: string) => items[key] ?? null,
  setItem: (key: string, value: string) => void (items[key] = value),
  removeItem: (key: string) => void delete items[key],
});
// Object.keys lists the items of a real one.
const storageOf = (kept: ReturnType<typeof fake>) =>
  new Storage(() => new Proxy(kept, { ownKeys: () => Object.keys(kept.items), getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) }) as never);

/** A server that answers as told: each answer is for one call. */
function server(...answers: (Error | 'lost')[]) {
  const written = new Map<string, string>(), calls: string[] = [];
  return {
    calls,
    contents: () => [...written.values()].join(' '),
    post: async ({ key, content }: Draft) => {
      calls.push(content);
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      if (!written.has(key)) written.set(key, content);
      if (answer === 'lost') throw new Error('network');
    },
  };
}

const free: Lock = (run) => run();
const open = (post: (draft: Draft) => Promise<void>, { person = 'Ada', kept = fake(), lock = free } = {}) =>
  new Outbox({ person, storage: storageOf(kept), post, lock, waitTime: () => 0 });
const settled = async (done: () => boolean) => {
  for (let i = 0; !done(); i++) {
    assert.ok(i < 1000, 'it does not settle');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
};
const texts = (outbox: Outbox) => outbox.contents.get().drafts.map((d) => d.content).join(' ');

test('drafts are sent in order and once, though answers are lost', async () => {
  const s = server('lost', new Error('network'));
  const outbox = open(s.post);
  outbox.start();
  for (const text of ['a', 'b', 'c']) assert.equal(outbox.add('1', text, ''), '');
  await settled(() => texts(outbox) === '');
  assert.equal(s.contents(), 'a b c');
  assert.equal(s.calls.join(' '), 'a a a b c');
  assert.equal(outbox.contents.get().wait, '');
});

test('drafts survive the page, for their person alone', async () => {
  const kept = fake();
  const offline = open(async () => { throw new Error('network'); }, { kept });
  offline.start();
  for (const text of ['a', 'b']) offline.add('1', text, '');
  await settled(() => offline.contents.get().wait === 'network');
  offline.stop();
  assert.equal(texts(open(async () => {}, { kept, person: 'Bob' })), '');
  const s = server();
  const outbox = open(s.post, { kept });
  assert.equal(texts(outbox), 'a b');
  outbox.start();
  await settled(() => texts(outbox) === '');
  assert.equal(s.contents(), 'a b');
});

test('whose drafts wait is known without their outboxes', () => {
  const kept = fake({ other: '{}', 'subwire.outbox/%/1': '{}' });
  assert.equal(waiting(storageOf(kept)).size, 0);
  for (const person of ['name/Ada', 'name/a/b']) {
    const outbox = open(async () => {}, { kept, person });
    outbox.stop();
    for (const text of ['a', 'b']) outbox.add('1', text, '');
  }
  const refused = { key: 'k', chatId: '1', content: 'a', createdAt: new Date().toISOString(), after: '', failure: 'no' };
  kept.setItem('subwire.outbox/name%2FAda/k', JSON.stringify(refused));
  assert.deepEqual([...waiting(storageOf(kept))], [['name/Ada', 2], ['name/a/b', 2]]);
});

test('a refused draft says why, stays, and holds up no other', async () => {
  const kept = fake(), s = server(new Refusal('not you'));
  const outbox = open(s.post, { kept });
  outbox.start();
  for (const text of ['a', 'b']) outbox.add('1', text, '');
  await settled(() => texts(outbox) === 'a');
  for (const o of [outbox, open(s.post, { kept })]) assert.equal(o.contents.get().drafts[0]?.failure, 'not you');
  assert.equal(s.contents(), 'b');
  outbox.discard(outbox.contents.get().drafts[0]!);
  assert.deepEqual([texts(outbox), kept.items], ['', {}]);
});

test('two tabs send each draft once, and show the same', async () => {
  const kept = fake(), s = server('lost');
  let last = Promise.resolve();
  const lock: Lock = (run) => (last = last.catch(() => {}).then(run));
  const tabs = [open(s.post, { kept, lock }), open(s.post, { kept, lock })];
  tabs[0]!.add('1', 'a', '');
  tabs[1]!.add('1', 'b', '');
  for (const tab of tabs) {
    tab.refresh();
    assert.equal(texts(tab), 'a b');
    tab.start();
  }
  await settled(() => (tabs.forEach((tab) => tab.refresh()), tabs.every((tab) => texts(tab) === '')));
  assert.equal(s.contents(), 'a b');
  assert.equal(s.calls.length, 3);
});

test('what is too old to be sent again by itself is for the user to decide', async () => {
  const old = { key: 'k', chatId: '1', content: 'a', createdAt: new Date(Date.now() - 21 * 3600_000).toISOString(), after: '' };
  const s = server();
  const outbox = open(s.post, { kept: fake({ 'subwire.outbox/Ada/k': JSON.stringify(old) }) });
  outbox.start();
  await settled(() => outbox.contents.get().drafts[0]?.failure !== undefined);
  assert.equal(s.calls.length, 0);
});

test('there is room for so many, and not for long ones', () => {
  const outbox = open(async () => {}); // not started
  outbox.stop();
  assert.match(outbox.add('1', 'é'.repeat(4097), ''), /too long/);
  for (let i = 0; i < mostDrafts; i++) assert.equal(outbox.add('1', 'é'.repeat(4096), ''), '');
  assert.match(outbox.add('1', 'x', ''), /Too many/);
});

test('what others wrote to the storage is passed over', () => {
  const outbox = open(async () => {}, { kept: fake({
    'subwire.outbox/Ada/1': 'nonsense', 'subwire.outbox/Ada/2': 'null', 'subwire.outbox/Ada/3': '{"key":"3"}',
    'subwire.outbox/Ada/4': '{"key":"4","chatId":"1","content":"a","createdAt":"never","after":""}', other: '{}' }) });
  assert.equal(texts(outbox), '');
});

test('storage that is blocked or full lasts as long as the page', async () => {
  const blocked = { get items(): never { throw new Error('SecurityError'); } } as never;
  for (const kept of [() => { throw new Error('SecurityError'); }, () => blocked, () => ({ getItem: () => null, setItem() { throw new Error('QuotaExceededError'); }, removeItem() {} })]) {
    const storage = new Storage(kept as never);
    assert.equal(storage.get('a'), null);
    storage.set('a', '1');
    assert.deepEqual([storage.get('a'), storage.keys().includes('a')], ['1', true]);
    storage.remove('a');
    assert.equal(storage.get('a'), null);
  }
});
