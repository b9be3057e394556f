import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { startCloud } from './cloud.mjs';
import { launch, openWindow } from './window.mjs';

let cloud, browser;
const windows = [];
before(async () => ([cloud, browser] = await Promise.all([startCloud(), launch()])));
after(async () => Promise.all([browser?.close(), cloud?.stop()]));
afterEach(async () => {
  await cloud.put('/gateway/up'); // in case a failed test left it down
  for (const w of windows) w.checkClean();
  await Promise.all(windows.splice(0).map((w) => w.close()));
});

const open = async (options) => {
  const w = await openWindow(browser, cloud.page, options);
  windows.push(w);
  return w;
};
const join = async (chat, name, options) => {
  const w = await open(options);
  await w.join(chat, name);
  return w;
};

test('two windows chat both ways', async () => {
  const ada = await join('both', 'Ada'), bob = await join('both', 'Bob');
  await ada.write('hello');
  await bob.reads('hello');
  await bob.write('hello yourself');
  for (const w of [ada, bob]) await w.reads('hello', 'hello yourself');
  await bob.page.reload();
  await bob.reads('hello', 'hello yourself');
});

test('a window that was cut off has all it missed, in order and once each', async () => {
  const ada = await join('cut', 'Ada'), bob = await join('cut', 'Bob');
  await ada.write('before');
  await bob.reads('before');
  await cloud.put('/gateway/down');
  await bob.hasStatus('Reconnecting');
  const missed = ['one', 'two', 'three', 'four', 'five'];
  for (const text of missed) await ada.write(text);
  await ada.reads('before', ...missed);
  assert.deepEqual(await bob.texts(), ['before']);
  await cloud.put('/gateway/up');
  for (const w of [ada, bob]) await w.isLive();
  await bob.reads('before', ...missed);
  await ada.write('after');
  for (const w of [ada, bob]) await w.reads('before', ...missed, 'after');
});

test('what is written between the history and the subscription is not missed', async () => {
  const bob = await open();
  let release;
  await bob.page.routeWebSocket(/.*/, async (ws) => {
    await new Promise((resolve) => (release = resolve));
    ws.connectToServer();
  });
  await bob.page.goto(`${cloud.page}/c/between`);
  await bob.page.getByLabel('Your name').fill('Bob');
  await bob.page.keyboard.press('Enter');
  await bob.page.getByText('Nothing here yet').waitFor();
  await cloud.post('between', 'Ada', 'early');
  release();
  await bob.reads('early');
});

test('a window that comes online tries again at once', async () => {
  const bob = await open();
  const { clock } = bob.page;
  await clock.install();
  await bob.join('online', 'Bob');
  await cloud.put('/gateway/down');
  // Until the wait is long. The clock then keeps it from passing.
  const status = bob.page.locator('.status', { hasText: /Reconnecting in \d+ s/ });
  for (let i = 0; ; i++) {
    await status.waitFor();
    if (/in \d\d s/.test(await status.textContent())) break;
    assert.ok(i < 20, 'the waits do not grow');
    await clock.fastForward(10_000);
  }
  await clock.pauseAt(await bob.page.evaluate(() => Date.now() + 1000));
  await cloud.put('/gateway/up');
  await bob.page.evaluate(() => dispatchEvent(new Event('online')));
  await clock.runFor(500);
  await bob.isLive();
});

test('a killed function costs no message', async () => {
  const ada = await join('killed', 'Ada'), bob = await join('killed', 'Bob');
  await ada.write('one');
  await bob.reads('one');
  // Not sender: if it dies, its batch waits minutes for its visibility to end.
  for (const name of ['message', 'stream']) await cloud.put(`/functions/${name}/kill`);
  await ada.write('two');
  for (const w of [ada, bob]) await w.reads('one', 'two');
  await cloud.put('/gateway/down');
  await bob.hasStatus('Reconnecting');
  await cloud.put('/functions/message/kill');
  await cloud.put('/gateway/up');
  await ada.write('three');
  for (const w of [ada, bob]) await w.reads('one', 'two', 'three');
});

test('a refused client says why and does not try again', async () => {
  const bob = await open();
  let connects = 0;
  await bob.page.routeWebSocket(/.*/, (ws) => {
    connects++;
    ws.onMessage(() => {
      ws.send('{"type":"connection_error: 4403 Forbidden","payload":{"code":4403,"message":"Forbidden"}}');
      ws.close({ code: 1000 });
    });
  });
  await bob.page.clock.install();
  await bob.page.goto(`${cloud.page}/c/refused`);
  await bob.page.getByLabel('Your name').fill('Bob');
  await bob.page.keyboard.press('Enter');
  await bob.page.getByRole('alert').getByText('4403 Forbidden').waitFor();
  await bob.hasStatus('Refused');
  await bob.page.clock.fastForward('01:00:00');
  assert.equal(connects, 1);
  await bob.page.getByRole('button', { name: 'Try again' }).click();
  await bob.page.waitForFunction(() => document.querySelector('[data-state=refused]'));
  await bob.page.getByRole('alert').getByText('4403 Forbidden').waitFor();
  assert.equal(connects, 2);
});

test('history pages upwards and keeps the place', async () => {
  const texts = Array.from({ length: 120 }, (_, i) => `message ${i}`);
  await cloud.post('history', 'Ada', ...texts);
  const bob = await join('history', 'Bob');
  await bob.reads(...texts.slice(70));
  const earlier = bob.page.getByRole('button', { name: 'Earlier messages' });
  await earlier.click();
  await bob.reads(...texts.slice(20));
  const { y } = await bob.page.getByText('message 70', { exact: true }).boundingBox();
  assert.ok(y > 0 && y < bob.page.viewportSize().height, `what the user looked at is at ${y}`);
  await earlier.click();
  await bob.reads(...texts);
  await earlier.waitFor({ state: 'detached' });
});

test('a message shows at once, and can be sent again when it failed', async () => {
  const ada = await join('failing', 'Ada');
  await ada.page.route('**/graphql', (route) => route.abort());
  await ada.write('lost');
  await ada.page.getByText('Not sent').waitFor();
  assert.equal(await ada.drafts(), 1);
  await ada.page.unroute('**/graphql');
  await ada.page.getByRole('button', { name: 'Send again' }).click();
  await ada.page.locator('.draft').waitFor({ state: 'detached' });
  await ada.reads('lost');
});

test('a message whose answer is lost is there once', async () => {
  const ada = await join('answer', 'Ada');
  await ada.page.route('**/graphql', async (route) => {
    await route.fetch(); // the server has it
    await route.abort();
  });
  await ada.write('done');
  await ada.page.locator('.draft').waitFor({ state: 'detached' });
  await ada.reads('done');
});

test('a hidden tab counts what others write, and marks it', async () => {
  const ada = await join('unread', 'Ada'), bob = await join('unread', 'Bob');
  await ada.write('seen');
  await bob.reads('seen');
  await bob.show(false);
  await ada.write('new one');
  await ada.write('new two');
  await bob.page.waitForFunction(() => document.title.startsWith('(2) unread'));
  await bob.show(true);
  await bob.page.waitForFunction(() => document.title.startsWith('unread'));
  await bob.page.locator('.divider.unread').waitFor();
});

test('everything works by keyboard', async () => {
  const ada = await open();
  await ada.page.goto(`${cloud.page}/`);
  await ada.page.locator('#name:focus').waitFor();
  await ada.page.keyboard.type('Ada');
  await ada.page.keyboard.press('Tab');
  await ada.page.keyboard.press('Control+A');
  await ada.page.keyboard.type('keys & more/?');
  await ada.page.keyboard.press('Enter');
  await ada.isLive();
  assert.equal(new URL(ada.page.url()).pathname, '/c/keys%20%26%20more%2F%3F');
  await ada.page.locator('#message:focus').waitFor();
  await ada.page.keyboard.type('typed');
  await ada.page.keyboard.press('Enter');
  await ada.reads('typed');
  await ada.page.goBack();
  await ada.page.getByLabel('Your name').waitFor();
});
