// The messages of a chat: what is seen, heard and kept in place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cloud, join } from './chatting.mjs';
import { checkAxe } from './window.mjs';

const many = (count) => Array.from({ length: count }, (_, i) => `message ${i}`);
const log = (w) => w.page.getByRole('region', { name: 'Messages' });
const toTop = async (w) => {
  await log(w).evaluate((e) => e.scrollTo({ top: 0 }));
  await w.page.getByRole('button', { name: 'Newest messages' }).waitFor();
};
/** Waits until a text is within the log's view. */
const isSeen = (w, text) => w.page.waitForFunction((text) => {
  const view = document.querySelector('.log').getBoundingClientRect();
  const all = [...document.querySelectorAll('.bubble p')].filter((e) => e.textContent === text).map((e) => e.getBoundingClientRect());
  return all.some((r) => r.top >= view.top && r.bottom <= view.bottom);
}, text);
const position = (w, text) => log(w).getByText(text, { exact: true }).evaluate((e) => e.getBoundingClientRect().y);

test('the user’s own message is seen, wherever they had scrolled', async () => {
  await cloud.post('own', 'Bob', ...many(40));
  const ada = await join('own', 'Ada');
  await ada.reads(...many(40));
  await toTop(ada);
  await ada.write('mine');
  await isSeen(ada, 'mine');
  await ada.reads(...many(40), 'mine');
  await isSeen(ada, 'mine');
});

test('what comes below is counted, and leaves the place', async () => {
  await cloud.post('below', 'Bob', ...many(40));
  const ada = await join('below', 'Ada');
  await ada.reads(...many(40));
  await toTop(ada);
  const y = await position(ada, 'message 2');
  await cloud.post('below', 'Bob', 'one', 'two', 'three');
  await ada.page.getByRole('button', { name: '3 new' }).waitFor();
  assert.equal(await position(ada, 'message 2'), y);
  await ada.page.getByRole('button', { name: '3 new' }).click();
  await isSeen(ada, 'three');
  await ada.page.locator('.to-end').waitFor({ state: 'detached' });
  await cloud.post('below', 'Bob', 'four'); // is seen, and so not counted later
  await isSeen(ada, 'four');
  await toTop(ada);
});

test('the end stays in view when the window shrinks', async () => {
  await cloud.post('shrinks', 'Bob', ...many(40));
  const ada = await join('shrinks', 'Ada', { viewport: { width: 390, height: 800 } });
  await isSeen(ada, 'message 39');
  await ada.page.setViewportSize({ width: 390, height: 400 });
  await isSeen(ada, 'message 39');
});

test('earlier messages keep the focus and the place', async () => {
  await cloud.post('paging', 'Bob', ...many(120));
  const ada = await join('paging', 'Ada');
  await ada.reads(...many(120).slice(70));
  await toTop(ada);
  const earlier = ada.page.getByRole('button', { name: 'Earlier messages' });
  const focused = () => ada.page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
  for (const [from, focus] of [[70, 'Earlier messages'], [20, 'Messages']]) {
    await earlier.focus();
    const y = await position(ada, `message ${from}`);
    await ada.page.keyboard.press('Enter');
    await ada.reads(...many(120).slice(Math.max(0, from - 50)));
    await ada.page.waitForFunction(() => !/Loading/.test(document.querySelector('.log').textContent));
    if (from === 20) await earlier.waitFor({ state: 'detached' });
    const moved = await position(ada, `message ${from}`) - y;
    assert.ok(Math.abs(moved) < 2, `what the user looked at has moved by ${moved} px`); // browsers round
    assert.equal(await focused(), focus);
    if (from === 70) await log(ada).evaluate((e) => e.scrollTo({ top: 0 }));
  }
});

test('a screen reader hears each message once, and not those that were there', async () => {
  await cloud.post('heard', 'Bob', ...many(60));
  const ada = await join('heard', 'Ada');
  await ada.reads(...many(60).slice(10));
  const live = ada.page.locator('[role=log], [aria-live]:not([aria-live=off])');
  assert.equal(await live.count(), 1);
  await ada.page.evaluate(() => {
    window.heard = [];
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const e of addedNodes) window.heard.push(e.textContent);
    }).observe(document.querySelector('[role=log]'), { childList: true, subtree: true });
  });
  await ada.write('mine');
  await ada.page.locator('.draft').waitFor({ state: 'detached' });
  await cloud.post('heard', 'Bob', 'yours');
  await ada.reads(...many(60).slice(10), 'mine', 'yours');
  await ada.page.getByRole('button', { name: 'Earlier messages' }).click();
  await ada.reads(...many(60), 'mine', 'yours');
  await cloud.put('/gateway/down');
  await ada.hasStatus('Reconnecting');
  await cloud.post('heard', 'Bob', 'missed');
  await cloud.put('/gateway/up');
  await ada.reads(...many(60), 'mine', 'yours', 'missed');
  assert.deepEqual(await ada.page.evaluate(() => window.heard), ['You: mine', 'Bob: yours', 'Bob: missed']);
});

test('each text has its own direction', async () => {
  await cloud.post('direction', 'עדה', 'שלום עולם', 'hello');
  await cloud.post('direction', 'Bob', 'مرحبا');
  const ada = await join('direction', 'Ada');
  await ada.reads('שלום עולם', 'hello', 'مرحبا');
  const direction = (css) => ada.page.locator(css).evaluateAll((all) => all.map((e) => getComputedStyle(e).direction).join(' '));
  assert.equal(await direction('.bubble'), 'rtl ltr rtl');
  assert.equal(await direction('.sender'), 'rtl ltr');
  await ada.page.getByLabel('Message', { exact: true }).fill('שלום');
  assert.equal(await direction('#message'), 'rtl');
});

test('links and code are shown as such, and nothing else is', async () => {
  const hostile = '<img src=x onerror=alert(1)> javascript:alert(1) [x](javascript:alert(1))';
  await cloud.post('markup', 'Bob', 'see https://a.example/?q=1&r=2.', 'run `make run`', '```sh\nmake run\nmake test\n```', hostile);
  const ada = await join('markup', 'Ada');
  await ada.reads('see https://a.example/?q=1&r=2.', 'run make run', 'make run\nmake test', hostile);
  const link = log(ada).getByRole('link');
  assert.equal(await link.count(), 1);
  assert.equal(await link.evaluate((e) => e.href), 'https://a.example/?q=1&r=2');
  assert.match(await link.getAttribute('rel'), /noopener/);
  assert.deepEqual(await ada.page.locator('.bubble code').allTextContents(), ['make run', 'make run\nmake test']);
  await checkAxe(ada.page, 'markup');
});

test('names may be made of any characters', async () => {
  const family = '👨‍👩‍👧‍👦', accented = 'e\u0301';
  const ada = await join('names', `${family} Smith`);
  await cloud.post('names', `${family} Jones`, 'hello');
  await cloud.post('names', `${accented}lise`, 'hi');
  await ada.reads('hello', 'hi');
  assert.deepEqual(await ada.page.locator('.avatar').allTextContents(), [family, accented.toUpperCase()]);
  await ada.write('mine');
  await ada.reads('hello', 'hi', 'mine');
  await ada.page.getByRole('button', { name: 'Leave the chat' }).click();
  const name = ada.page.getByLabel('Your name');
  assert.equal(await name.inputValue(), `${family} Smith`);
  await name.fill(family.repeat(6)); // too many bytes for the server
  await ada.page.getByRole('button', { name: 'Join' }).click();
  assert.equal(await name.evaluate((e) => e.validationMessage), 'This is too long.');
});
