// Who is here, who types, who has read: what windows see of each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, open } from './chatting.mjs';

const type = (w, text) => w.page.getByLabel('Message', { exact: true }).pressSequentially(text);
const plain = (text) => text.replace(/[\u2068\u2069]/g, ''); // without the isolation of names
const shows = (w, css, text) => w.page.waitForFunction(
  ([css, text]) => (document.querySelector(css)?.textContent ?? '').replace(/[\u2068\u2069]/g, '') === text, [css, text],
).catch(async () => assert.equal(plain(await w.page.locator(css).first().textContent()), text));

test('windows see how many are here, and a reload is no leave', async () => {
  const ada = await join('here', 'Ada');
  await shows(ada, '.here', '1 here');
  const bob = await join('here', 'Bob');
  for (const w of [ada, bob]) await shows(w, '.here', '2 here');
  await ada.page.evaluate(() => {
    window.seen = new Set();
    new MutationObserver(() => window.seen.add(document.querySelector('.here').textContent))
      .observe(document.querySelector('.here'), { characterData: true, childList: true, subtree: true });
  });
  await bob.page.reload();
  await shows(bob, '.here', '2 here');
  assert.deepEqual(await ada.page.evaluate(() => [...window.seen]), []);
  await bob.page.goto('about:blank');
  await shows(ada, '.here', '1 here');
});

test('windows see who types, until the message comes or a while has passed', async () => {
  const [ada, bob, cy] = [await join('typing', 'Ada'), await join('typing', 'Bob'), await join('typing', 'Cy')];
  const { height } = await ada.page.locator('.log').boundingBox();
  await type(bob, 'hel');
  await shows(ada, '.typing', 'Bob is typing…');
  assert.equal((await ada.page.locator('.log').boundingBox()).height, height, 'the line moves the messages');
  await type(cy, 'hi');
  await shows(ada, '.typing', 'Bob and Cy are typing…');
  await shows(bob, '.typing', 'Cy is typing…'); // and not Bob
  await bob.page.keyboard.press('Enter');
  await ada.reads('hel');
  await shows(ada, '.typing', 'Cy is typing…');
  await shows(ada, '.typing', '');
});

test('typing is announced at most every three seconds', async () => {
  const bob = await open();
  let sent = 0;
  bob.page.on('request', (r) => (sent += r.postData()?.includes('ITypeNow') ? 1 : 0));
  await bob.page.clock.install();
  await bob.join('throttle', 'Bob');
  await bob.page.clock.pauseAt(await bob.page.evaluate(() => Date.now() + 1000));
  for (let i = 0; i < 10; i++) {
    await type(bob, 'x');
    await bob.page.clock.runFor(500);
  }
  assert.equal(sent, 2);
});

test('who wrote sees who has read', async () => {
  const ada = await join('read', 'Ada'), bob = await join('read', 'Bob');
  await bob.show(false);
  await ada.write('one');
  await bob.reads('one');
  assert.equal(await ada.page.locator('.read').count(), 0);
  await bob.show(true);
  await shows(ada, '.read', 'Read by 1: Bob');
  assert.equal(plain(await ada.page.locator('.read').getAttribute('title')), 'Bob');
  await ada.write('two');
  const cy = await join('read', 'Cy');
  await cy.reads('one', 'two');
  await shows(ada, '.read', 'Read by 2: Bob, Cy');
  assert.equal(await ada.page.locator('.read').count(), 1); // under the last that was read
  await ada.page.reload();
  await shows(ada, '.read', 'Read by 2: Bob, Cy');
  assert.equal(await bob.page.locator('.read').count(), 0);
});
