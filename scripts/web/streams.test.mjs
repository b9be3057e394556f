// A browser's own EventSource reads the event streams of a host, without any client.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCloud } from './cloud.mjs';
import { launch } from './window.mjs';

let cloud, browser;
before(async () => {
  browser = await launch();
  cloud = await startCloud('--host');
});
after(async () => Promise.all([browser?.close(), cloud?.stop()]));

const listen = (chatId) => `${cloud.streams}?${new URLSearchParams({
  query: 'subscription ($c: ID!) { newMessage(chatId: $c) { content } }',
  variables: JSON.stringify({ c: chatId }),
})}`;

/** Opens a stream in a page of no origin, and returns that page. What it gets is in its window.heard. */
async function open(url) {
  const page = await browser.newPage();
  await page.evaluate((url) => {
    window.heard = [];
    window.source = new EventSource(url);
    const note = (kind) => (e) => window.heard.push(e.data ? `${kind} ${e.data}` : kind);
    for (const kind of ['open', 'next', 'complete']) window.source.addEventListener(kind, note(kind));
    window.source.addEventListener('error', () => window.heard.push(`error ${window.source.readyState}`));
  }, url);
  return page;
}

const hears = (page, count) => page.waitForFunction((n) => window.heard.length >= n, count).then(() => page.evaluate(() => window.heard));

test('an EventSource opens before anything has happened, and gets what happens', async () => {
  const page = await open(listen('source'));
  assert.deepEqual(await hears(page, 1), ['open']);
  await cloud.post('source', 'Ada', 'one', 'two');
  const next = (content) => `next ${JSON.stringify({ data: { newMessage: { content } } })}`;
  assert.deepEqual(await hears(page, 3), ['open', next('one'), next('two')]);
  await page.close();
});

test('a query is answered and complete', async () => {
  const page = await open(`${cloud.streams}?${new URLSearchParams({ query: '{ __typename }' })}`);
  assert.deepEqual((await hears(page, 3)).slice(0, 3), ['open', 'next {"data":{"__typename":"Query"}}', 'complete']);
  await page.close();
});

test('what is wrong with an operation can be read', async () => {
  const page = await open(`${cloud.streams}?${new URLSearchParams({ query: '{ nope }' })}`);
  const [, error, complete] = await hears(page, 3);
  assert.match(error, /Cannot query field .*nope/);
  assert.equal(complete, 'complete');
  await page.close();
});

test('an EventSource comes back when its host is replaced', async () => {
  const page = await open(listen('replaced'));
  await hears(page, 1);
  const [host] = await cloud.hosts();
  await cloud.put(`/hosts/${host}/drain`);
  assert.deepEqual((await hears(page, 3)).slice(0, 3), ['open', 'error 0', 'open']);
  await cloud.post('replaced', 'Ada', 'after');
  assert.match((await hears(page, 4))[3], /after/);
  await page.close();
});
