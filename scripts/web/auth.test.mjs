import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCloud } from './cloud.mjs';
import { artefacts, launch, openWindow } from './window.mjs';

let cloud, browser;
before(async () => {
  browser = await launch();
  cloud = await startCloud('--auth', 'jwt');
});
after(async () => Promise.all([browser?.close(), cloud?.stop()]));

const enter = async (chat, token) => {
  const w = await openWindow(browser, cloud.page);
  w.connects = 0;
  w.page.on('websocket', () => w.connects++);
  await w.page.goto(`${cloud.page}/c/${chat}`);
  await w.page.getByLabel('Your token').fill(token);
  await w.page.keyboard.press('Enter');
  return w;
};

test('those with tokens chat under the names in them', async () => {
  const ada = await enter('lobby', await cloud.token('u1', 'Ada Lovelace', 'lobby'));
  const bob = await enter('lobby', await cloud.token('u2', 'Bob', 'lobby'));
  for (const w of [ada, bob]) await w.isLive();
  await ada.write('hello');
  await bob.reads('hello');
  await bob.page.locator('.sender', { hasText: 'Ada Lovelace' }).waitFor(); // she may still be typing, too
  await ada.page.reload(); // the tab remembers its token
  await ada.reads('hello');
  for (const w of [ada, bob]) {
    w.checkClean();
    await w.close();
  }
});

test('the server says who wrote what, whatever the names are', async () => {
  const ada = await enter('names', await cloud.token('u1', 'Ada', 'names'));
  await ada.isLive();
  const other = await ada.opened(() => ada.page.getByRole('button', { name: 'second person’s window' }).first().click());
  await other.page.getByLabel('Your token').fill(await cloud.token('u2', 'Ada', 'names'));
  await other.page.keyboard.press('Enter');
  await other.isLive();
  await ada.write('mine');
  await other.reads('mine');
  await other.write('yours');
  for (const [w, own] of [[ada, 'mine'], [other, 'yours']]) {
    await w.has(2);
    assert.deepEqual(await w.page.locator('.own .bubble p').allTextContents(), [own]);
    w.checkClean();
  }
  await ada.close();
});

test('a chat that is not allowed says so', async () => {
  const bob = await enter('secret', await cloud.token('u2', 'Bob', 'lobby'));
  await bob.page.getByRole('alert').waitFor();
  assert.match(await bob.page.getByRole('alert').textContent(), /not (be )?(allowed|read)|may not|forbidden/i);
  await bob.close();
});

test('a forged token says so, and the client does not try again', async () => {
  const [header, , signature] = (await cloud.token('u2', 'Bob', 'lobby')).trim().split('.');
  const claims = Buffer.from('{"sub":"u1","name":"Ada"}').toString('base64url');
  const bob = await enter('lobby', `${header}.${claims}.${signature}`);
  await bob.page.getByRole('alert').waitFor();
  await bob.hasStatus('Not connected');
  assert.equal(bob.connects, 0); // the history was refused first
  await bob.close();
});

test('a token that runs out ends the socket, says why and does not loop', async () => {
  const bob = await enter('lobby', await cloud.token('u2', 'Bob', 'lobby', '1s')); // and 30 s, by which clocks may differ
  await bob.isLive();
  await bob.hasStatus('Refused');
  await bob.page.getByRole('alert').getByText(/44\d\d/).waitFor();
  await bob.page.screenshot({ path: `${artefacts}refused.png` });
  assert.equal(bob.connects, 2); // once more, as the connection may have been lost for another reason
  await bob.close();
});
