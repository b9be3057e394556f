import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCloud } from './cloud.mjs';
import { artefacts, checkAxe, launch, openWindow } from './window.mjs';

let cloud, guarded, browser;
before(async () => {
  browser = await launch();
  cloud = await startCloud();
  guarded = await startCloud('--auth', 'jwt');
});
after(async () => Promise.all([browser?.close(), cloud?.stop(), guarded?.stop()]));

/** GraphiQL as its user sees it. Its document is that of the page, or the given one. */
async function open(origin, { document, ...options } = {}) {
  const w = await openWindow(browser, origin, options);
  const fragment = document ? `#${new URLSearchParams({ query: document })}` : '';
  await w.page.goto(`${origin}/graphql${fragment}`);
  const pane = w.page.getByRole('region', { name: 'Subscriptions' });
  return {
    ...w,
    pane,
    /** Runs one of the document's operations. */
    async run(name) {
      // The button has a menu once the editor has read the document's operations.
      await w.page.getByRole('button', { name: /Execute query/ }).and(w.page.locator('[aria-haspopup=menu]')).click();
      await w.page.getByRole('menuitem', { name }).click();
    },
    /** Runs the document's only operation, once the editor has it. */
    async runOnly() {
      await w.page.locator('.graphiql-query-editor .view-line').first().waitFor();
      await w.page.getByRole('button', { name: /Execute query/ }).click();
    },
    responds: (text) => w.page.locator('.graphiql-response .result-window', { hasText: text }).waitFor(),
    /** Waits until the pane says so. */
    says: (text) => pane.getByText(text).first().waitFor(),
    events: () => pane.getByRole('log').getByRole('listitem').allTextContents(),
  };
}

/** Subscribing is not acknowledged: writes until the newest event is of these. */
async function untilHeard(w, chat = 'lobby') {
  for (let i = 0; ; i++) {
    assert.ok(i < 1000, 'no event has come');
    await cloud.post(chat, 'Ada', `try ${i}`);
    if ((await w.events()).some((event) => event.includes('"content":"try'))) return;
  }
}

test('a subscription listens while other operations run, in any tab', async () => {
  const w = await open(cloud.page);
  await w.says('None runs.');
  await w.run('Listen');
  await w.responds('Listen is listed under Subscriptions');
  await w.says('listening');
  await w.hasStatus('Live');
  await untilHeard(w);
  const hears = async (post) => {
    const known = (await w.events()).length;
    await post();
    await w.responds('postMessage');
    await w.page.waitForFunction((n) => document.querySelectorAll('.listenings li').length > n, known);
  };
  await hears(() => w.run('Post'));
  await w.page.getByRole('button', { name: 'New tab' }).click();
  await w.page.locator('.graphiql-query-editor .view-lines').click();
  await w.page.keyboard.insertText('mutation { postMessage(chatId: "lobby", content: "from a tab", senderName: "Ada") { id } }');
  await hears(() => w.runOnly());
  const events = await w.events();
  assert.ok(events.length > 2); // they are appended: none replaces another
  assert.deepEqual(events.map((text) => +/^#(\d+)/.exec(text)[1]), events.map((_, i) => i + 1));
  for (const text of events) assert.match(text, /^#\d+ \d\d:\d\d:\d\d\.\d{3} \{"newMessage":\{"id":/);
  await w.says(`${events.length} events`);
  await checkAxe(w.page, 'events', '.listenings');
  await w.page.screenshot({ path: `${artefacts}graphiql.png` });

  await w.pane.getByRole('button', { name: 'Stop' }).click();
  await w.says('stopped');
  await cloud.post('lobby', 'Ada', 'unheard');
  await w.pane.getByRole('button', { name: 'Remove' }).click();
  await w.says('None runs.');
  w.checkClean();
  await w.close();
});

test('two subscriptions run side by side, and only the one that is stopped ends', async () => {
  const document = 'subscription Red { newMessage(chatId: "red") { content } } subscription Blue { newMessage(chatId: "blue") { content } }';
  const w = await open(cloud.page, { document });
  for (const name of ['Red', 'Blue']) await w.run(name);
  await untilHeard(w, 'red');
  await untilHeard(w, 'blue');
  const red = w.pane.getByRole('article', { name: 'Red' }), blue = w.pane.getByRole('article', { name: 'Blue' });
  await red.getByRole('button', { name: 'Stop' }).click();
  await red.getByText('stopped').waitFor();
  await cloud.post('blue', 'Ada', 'after the stop');
  await blue.getByText('after the stop').waitFor();
  await w.close();
});

test('a lost network shows, and the subscription comes back by itself', async () => {
  const w = await open(cloud.page);
  await w.run('Listen');
  await w.hasStatus('Live');
  await cloud.put('/gateway/down');
  await w.hasStatus('Reconnecting');
  await w.page.screenshot({ path: `${artefacts}graphiql-lost.png` });
  await cloud.put('/gateway/up');
  await w.hasStatus('Live');
  await untilHeard(w);
  w.checkClean();
  await w.close();
});

test('a refusal is a sentence', async () => {
  const w = await open(cloud.page, { document: 'subscription Wrong { newMessage(chatId: "lobby") { colour } }' });
  await w.runOnly();
  await w.pane.getByRole('alert').getByText(/^Cannot query field "colour" on type "Message" \(GRAPHQL_VALIDATION_FAILED\)\.$/).waitFor();
  await w.says('refused');
  await checkAxe(w.page, 'a refusal', '.listenings');
  await w.close();
});

test('a server that wants tokens asks for one', async () => {
  const w = await open(guarded.page, { colorScheme: 'dark' });
  const state = w.page.locator('#token-state');
  await state.getByText('Without one it refuses every operation.').waitFor();
  await w.run('Read');
  await w.responds('A token is required. Enter one above');
  await w.run('Listen');
  await w.pane.getByRole('alert').getByText('The server refused the connection: Forbidden (4403). Enter a token that this server accepts.').waitFor();
  await w.hasStatus('Refused');
  await checkAxe(w.page, 'without a token', '.token');
  await w.page.screenshot({ path: `${artefacts}graphiql-token.png` });

  await w.page.getByLabel('Your token').fill('secret');
  await state.getByText('This is no JSON Web Token with a name.').waitFor();
  await w.page.getByLabel('Your token').fill(await guarded.token('u1', 'Ada Lovelace', 'lobby'));
  await w.page.getByRole('button', { name: 'Use it' }).click();
  await state.getByText('You are Ada Lovelace.').waitFor();
  await w.run('Listen');
  await w.hasStatus('Live');
  await w.run('Post');
  await w.responds('postMessage');
  await w.page.reload(); // the tab remembers its token
  await state.getByText('You are Ada Lovelace.').waitFor();
  await w.run('Read');
  await w.responds('hello');
  w.checkClean();
  await w.close();
});

test('the editor begins with what the product has', async () => {
  const shop = await startCloud('--app', 'shop');
  try {
    const w = await open(shop.page);
    await w.page.locator('.view-line', { hasText: 'orderChanged' }).waitFor();
    assert.equal(await w.page.locator('.view-line', { hasText: 'newMessage' }).count(), 0);
    w.checkClean();
    await w.close();
  } finally {
    await shop.stop();
  }
});

test('a page that does not learn its server says so', async () => {
  const w = await openWindow(browser, cloud.page);
  await w.page.route('**/config.json', (route) => route.fulfill({ status: 503 }));
  await w.page.goto(`${cloud.page}/graphql`);
  await w.page.getByRole('alert').getByText('GraphiQL cannot start: The server answers 503.').waitFor();
  await w.close();
});
