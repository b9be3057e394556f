import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cloud, join, open, windows } from './chatting.mjs';

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

test('a window without a network says so at once, and is live as soon as there is one', async () => {
  const ada = await join('offline', 'Ada'), bob = await join('offline', 'Bob');
  await ada.page.clock.install();
  await ada.page.reload();
  await ada.isLive();
  await ada.page.clock.pauseAt(await ada.page.evaluate(() => Date.now() + 1000)); // nothing can wait for a timer
  await ada.page.context().setOffline(true);
  await ada.hasStatus('Offline');
  await bob.write('meanwhile');
  await bob.reads('meanwhile');
  await ada.write('kept');
  await ada.page.getByText('Waiting for the network').waitFor();
  await ada.show(false); // nobody looks
  await ada.page.context().setOffline(false);
  await ada.page.clock.runFor(200);
  await ada.isLive();
  for (const w of [ada, bob]) await w.reads('meanwhile', 'kept');
});

// watchSockets returns what the page says on its sockets, or hears, a list for each.
function watchSockets(page, event = 'framesent') {
  const sockets = [];
  page.on('websocket', (socket) => {
    const types = [];
    sockets.push(types);
    socket.on(event, ({ payload }) => types.push(JSON.parse(payload).type));
  });
  return sockets;
}

// eventually waits until condition holds.
async function eventually(condition, what) {
  for (const end = Date.now() + 60_000; !condition(); ) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a window that is looked at again asks whether the server is there', async () => {
  const ada = await open();
  const sockets = watchSockets(ada.page), heard = watchSockets(ada.page, 'framereceived');
  await ada.page.clock.install();
  await ada.join('awake', 'Ada');
  await ada.isLive();
  const asks = () => sockets[0].includes('ping');
  while (!asks()) { // a late answer to the join also tells it that the server is there: then look again
    const before = heard[0].length;
    await ada.show(false);
    await ada.page.clock.fastForward(40_000);
    assert.ok(!asks(), 'it asks while nobody looks');
    await ada.show(true);
    await eventually(() => asks() || heard[0].length > before, 'it does not ask');
  }
  await eventually(() => heard[0].includes('pong'), 'the server does not answer');
  await ada.page.clock.fastForward(20_000);
  await ada.isLive();
  assert.equal(sockets.length, 1);
});

test('a window changes its socket before the two hours are over, and shows nothing of it', async () => {
  const ada = await open(), bob = await join('moving', 'Bob');
  const sockets = watchSockets(ada.page);
  await ada.page.clock.install();
  await ada.join('moving', 'Ada');
  await ada.isLive();
  await ada.page.evaluate(() => {
    window.shown = [];
    const status = document.querySelector('.status');
    new MutationObserver(() => window.shown.push(status.textContent)).observe(status, { subtree: true, childList: true, characterData: true });
  });
  await ada.page.clock.fastForward(115 * 60_000);
  await eventually(() => sockets.length === 2 && sockets[1].includes('subscribe'), 'it keeps its socket');
  await bob.write('still there?');
  await ada.reads('still there?');
  assert.deepEqual(await ada.page.evaluate(() => window.shown), []);
});

test('what is being written survives the page and leaving the chat', async () => {
  const ada = await join('unsent', 'Ada');
  const box = ada.page.getByLabel('Message', { exact: true });
  await box.fill('half a sen');
  await ada.page.reload();
  assert.equal(await box.inputValue(), 'half a sen');
  await ada.page.getByRole('button', { name: 'Leave the chat' }).click();
  await ada.page.getByLabel('Chat').fill('unsent');
  await ada.page.getByRole('button', { name: 'Join' }).click();
  assert.equal(await box.inputValue(), 'half a sen');
  await ada.write('a sentence');
  await ada.reads('a sentence');
  await ada.page.reload();
  await ada.reads('a sentence');
  assert.equal(await box.inputValue(), '');
});

test('a message that is too long says so and is kept', async () => {
  const ada = await join('long', 'Ada');
  const long = '👨‍👩‍👧‍👦'.repeat(500);
  await ada.write(long);
  await ada.page.getByRole('alert').getByText('too long').waitFor();
  assert.equal(await ada.page.getByLabel('Message', { exact: true }).inputValue(), long);
  await ada.write('short');
  await ada.reads('short');
  assert.equal(await ada.page.getByRole('alert').count(), 0);
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

// API Gateway cannot say why it closes, so a message does; a host closes with the code.
for (const [where, refuse] of Object.entries({
  'by a message': (ws) => {
    ws.send('{"type":"connection_error: 4403 Forbidden","payload":{"code":4403,"message":"Forbidden"}}');
    ws.close({ code: 1000 });
  },
  'by the close': (ws) => ws.close({ code: 4403, reason: 'Forbidden' }),
})) test(`a client that is refused ${where} says why and does not try again`, async () => {
  const bob = await open();
  let connects = 0;
  await bob.page.routeWebSocket(/.*/, (ws) => {
    connects++;
    ws.onMessage(() => refuse(ws));
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

/** Cuts the page off from the API over HTTP, or connects it again. */
const cut = (w) => w.page.route('**/graphql', (route) => route.abort());
const mend = (w) => w.page.unroute('**/graphql');
const online = (w) => w.page.evaluate(() => dispatchEvent(new Event('online')));
const awaitSent = (w) => w.page.waitForFunction(() =>
  !document.querySelector('.draft') && !Object.keys(localStorage).some((key) => key.startsWith('subwire.outbox/')));

test('a message shows at once, waits for the network and is sent by itself', async () => {
  const ada = await join('waiting', 'Ada');
  await cut(ada);
  await ada.write('lost');
  await ada.page.getByText('Waiting for the network').waitFor();
  assert.equal(await ada.drafts(), 1);
  await mend(ada);
  await awaitSent(ada);
  await ada.reads('lost');
});

test('a message whose answer is lost is there once', async () => {
  const ada = await join('answer', 'Ada');
  let tries = 0;
  await ada.page.route('**/graphql', async (route) => {
    if (!route.request().postData()?.includes('PostMessage')) return route.continue();
    await route.fetch(); // the server has it
    tries++;
    await route.abort();
  });
  await ada.write('done');
  while (tries < 1) await ada.page.waitForTimeout(50);
  await cloud.post('answer', 'Bob', 'later');
  await ada.reads('later', 'done'); // the message has come by the subscription, and stays behind its draft
  while (tries < 2) await ada.page.waitForTimeout(50);
  await mend(ada);
  await online(ada);
  await awaitSent(ada);
  await ada.reads('done', 'later');
  await ada.page.reload();
  await ada.reads('done', 'later');
  assert.equal(await ada.page.locator('.message.own').count(), 1);
});

test('what waits to be sent survives the page, and is written once and in order', async () => {
  const ada = await join('reload', 'Ada'), bob = await join('reload', 'Bob');
  let tries = 0;
  await ada.page.route('**/graphql', async (route) => {
    if (!route.request().postData()?.includes('PostMessage')) return route.continue();
    if (tries++ === 0) await route.fetch(); // the server has the first, but the page does not know
    await route.abort();
  });
  const texts = ['one', 'two', 'two', 'three'];
  for (const text of texts) await ada.write(text);
  await ada.page.getByText('Waiting for the network').first().waitFor();
  await bob.reads('one');
  await ada.page.reload();
  await ada.reads(...texts);
  await ada.page.getByText('Waiting for the network').first().waitFor();
  await mend(ada);
  await online(ada);
  await awaitSent(ada);
  for (const w of [ada, bob]) await w.reads(...texts);
});

test('what waits to be sent is sent from outside the chat, too', async () => {
  const ada = await join('left', 'Ada'), bob = await join('left', 'Bob');
  await cut(ada);
  await ada.write('later');
  await ada.page.getByText('Waiting for the network').waitFor();
  await ada.page.getByRole('button', { name: 'Leave the chat' }).click();
  await ada.page.getByLabel('Your name').waitFor();
  await ada.page.getByLabel('Chat').fill('left');
  await mend(ada);
  await online(ada);
  await bob.reads('later');
  await ada.page.getByRole('button', { name: 'Join' }).click();
  await ada.reads('later');
});

test('two tabs of one person send a message once, and show it once', async () => {
  const ada = await join('tabs', 'Ada');
  const other = await ada.tab();
  windows.push(other);
  await other.page.goto(ada.page.url());
  await other.isLive();
  for (const w of [ada, other]) await cut(w);
  await ada.write('one');
  await other.reads('one');
  await other.write('two');
  for (const w of [ada, other]) await w.reads('one', 'two');
  for (const w of [ada, other]) await mend(w);
  for (const w of [ada, other]) await online(w);
  for (const w of [ada, other]) await awaitSent(w);
  for (const w of [ada, other]) await w.reads('one', 'two');
  assert.equal(await other.page.locator('.message.own').count(), 2);
});

test('a message that is refused says why, and can be edited or discarded', async () => {
  const ada = await join('failing', 'Ada');
  const refused = {
    contentType: 'application/graphql-response+json',
    json: { data: null, errors: [{ message: 'You may not write to this chat.', extensions: { code: 'FORBIDDEN' } }] },
  };
  await ada.page.route('**/graphql', (route) => // reading goes on: the page reloads
    route.request().postDataJSON().operationName === 'PostMessage' ? route.fulfill(refused) : route.continue());
  for (const text of ['mistake', 'other']) await ada.write(text);
  await ada.page.getByText('You may not write to this chat.').nth(1).waitFor();
  await ada.page.reload();
  await ada.page.getByRole('button', { name: 'Discard' }).last().waitFor();
  await mend(ada);
  await ada.page.getByRole('button', { name: 'Discard' }).last().click();
  await ada.page.getByRole('button', { name: 'Edit' }).click();
  assert.equal(await ada.page.getByLabel('Message', { exact: true }).inputValue(), 'mistake');
  await ada.write('mended');
  await ada.reads('mended');
});

test('the chat works without storage', async () => {
  const ada = await open();
  await ada.page.addInitScript(() => {
    const blocked = { get: () => { throw new DOMException('blocked', 'SecurityError'); } };
    for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, blocked);
  });
  await ada.join('blocked', 'Ada');
  await ada.write('hello');
  await ada.page.locator('.draft').waitFor({ state: 'detached' });
  await ada.reads('hello');
});

test('the chat does without what the server does not know', async () => {
  const fields = /\b(here|typing|readMarks|markRead)(?=\()/, asked = new Set();
  const stub = async (w) => {
    await w.page.routeWebSocket(/.*/, (ws) => {
      const server = ws.connectToServer();
      ws.onMessage((text) => {
        const { id, type, payload } = JSON.parse(text);
        const field = type === 'subscribe' && fields.exec(payload.query)?.[0];
        if (!field) return server.send(text);
        asked.add(field);
        ws.send(JSON.stringify({ id, type: 'error', payload: [{ message: 'no such field', extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }] }));
      });
    });
    await w.page.route('**/graphql', (route) => {
      const field = fields.exec(route.request().postData() ?? '')?.[0];
      if (!field) return route.continue();
      asked.add(field);
      return route.fulfill({ status: 400, contentType: 'application/graphql-response+json',
        json: { errors: [{ message: 'no such field', extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }] } });
    });
  };
  const ada = await open(), bob = await open();
  for (const w of [ada, bob]) await stub(w);
  await ada.join('plain', 'Ada');
  await bob.join('plain', 'Bob');
  for (const text of ['one', 'two']) {
    await ada.page.getByLabel('Message', { exact: true }).pressSequentially(text);
    await ada.page.keyboard.press('Enter');
  }
  await bob.reads('one', 'two');
  await bob.write('three');
  for (const w of [ada, bob]) await w.reads('one', 'two', 'three');
  assert.deepEqual([...asked].sort(), ['here', 'markRead', 'readMarks', 'typing']);
  for (const w of [ada, bob]) assert.equal(await w.page.getByRole('alert').count(), 0);
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
  await bob.page.locator('.divider.unread', { hasText: '2 new' }).waitFor();
  await ada.write('live'); // is not new to who looks
  await bob.reads('seen', 'new one', 'new two', 'live');
});

test('who comes back sees what is new', async () => {
  const ada = await join('back', 'Ada'), bob = await join('back', 'Bob');
  await ada.write('seen');
  await bob.reads('seen');
  await bob.page.goto('about:blank');
  for (const text of ['one', 'two']) await ada.write(text);
  await ada.reads('seen', 'one', 'two');
  await bob.page.goBack();
  await bob.reads('seen', 'one', 'two');
  await bob.page.locator('.divider.unread', { hasText: '2 new' }).waitFor();
  await bob.page.reload();
  await bob.reads('seen', 'one', 'two');
  assert.equal(await bob.page.locator('.divider.unread').count(), 0);
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
