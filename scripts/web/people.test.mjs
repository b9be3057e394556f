// Who is who: names, windows and what stands as "You".
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cloud, join, windows } from './chatting.mjs';

const own = (w) => w.page.locator('.own:not(.draft) .bubble p').allTextContents();
const second = (w) => w.page.getByRole('button', { name: 'second person’s window' }).first();
/** Opens the second person's window of a window by its button. */
const openSecond = async (w) => {
  const other = await w.opened(() => second(w).click());
  windows.push(other);
  await other.isLive();
  return other;
};
const nameOf = async (w) => (await w.page.getByLabel('Message', { exact: true }).getAttribute('placeholder')).replace('Write as ', '');

test('another of the same name is another person', async () => {
  const ada = await join('names', 'Ada'), other = await join('names', 'Ada');
  await ada.write('from one');
  await other.write('from the other');
  for (const w of [ada, other]) await w.has(2);
  assert.deepEqual(await own(ada), ['from one']);
  assert.deepEqual(await own(other), ['from the other']);
  await ada.page.reload();
  await ada.has(2);
  assert.deepEqual(await own(ada), ['from one']);
});

test('another’s message with the text of a draft is not taken for it', async () => {
  const ada = await join('twins', 'Ada'), other = await join('twins', 'Ada');
  await ada.page.evaluate(() => {
    window.taken = 0; // how often a message stood as the user's own
    new MutationObserver(() => (window.taken += document.querySelectorAll('.message.own:not(.draft)').length))
      .observe(document.querySelector('.log'), { childList: true, subtree: true, attributes: true });
  });
  await ada.page.route('**/graphql', (route) => route.abort());
  await ada.write('same');
  await other.write('same');
  await other.page.locator('.own:not(.draft)', { hasText: 'same' }).waitFor(); // it is written before the next
  await cloud.post('twins', 'Bob', 'later');
  await ada.page.getByText('later', { exact: true }).waitFor(); // and so the other's has come
  assert.equal(await ada.page.evaluate(() => window.taken), 0);
  assert.equal(await ada.drafts(), 1);
  await ada.page.getByText('Waiting for the network').waitFor();
  await ada.page.unroute('**/graphql');
  await ada.page.evaluate(() => dispatchEvent(new Event('online')));
  await ada.has(3);
  assert.deepEqual([await own(ada), await ada.texts()], [['same'], ['same', 'later', 'same']]);
});

test('a button opens the chat as somebody else', async () => {
  const ada = await join('second', 'Ada');
  const other = await openSecond(ada), third = await openSecond(ada);
  const names = [await nameOf(ada), await nameOf(other), await nameOf(third)];
  assert.equal(names[0], 'Ada');
  assert.equal(new Set(names).size, 3, `the people are ${names}`);
  assert.equal(new URL(other.page.url()).hash, '');
  await ada.write('mine');
  await other.reads('mine'); // it comes first
  await other.write('yours');
  for (const w of [ada, other]) await w.has(2);
  for (const w of [ada, other]) await w.reads('mine', 'yours');
  assert.deepEqual([await own(ada), await own(other)], [['mine'], ['yours']]);
  await other.page.locator('.sender', { hasText: 'Ada' }).waitFor();
  for (const w of [ada, other]) await w.page.reload();
  for (const w of [ada, other]) await w.isLive();
  assert.deepEqual([await nameOf(ada), await nameOf(other)], names.slice(0, 2)); // a name per tab
  const later = await ada.tab();
  windows.push(later);
  await later.page.goto(ada.page.url());
  await later.isLive();
  assert.equal(await nameOf(later), 'Ada');
});

test('each person has an own outbox, and the entrance says whose waits', async () => {
  const ada = await join('outboxes', 'Ada');
  const other = await openSecond(ada);
  const name = await nameOf(other);
  await other.page.route('**/graphql', (route) => route.abort());
  await other.write('kept');
  await other.page.getByText('Waiting for the network').waitFor();
  await ada.write('sent');
  await ada.page.locator('.draft').waitFor({ state: 'detached' });
  await ada.reads('sent'); // and the other's is not hers to send
  await other.page.close();
  await ada.page.getByRole('button', { name: 'Leave the chat' }).click();
  await ada.page.getByText(`until ${name} joins again`).waitFor();
  await ada.page.getByLabel('Your name').fill(name);
  await ada.page.getByLabel('Chat').fill('outboxes');
  await ada.page.getByRole('button', { name: 'Join' }).click();
  await ada.page.waitForFunction(() => document.querySelectorAll('.message.own:not(.draft)').length === 1);
  assert.deepEqual(await own(ada), ['kept']);
});
