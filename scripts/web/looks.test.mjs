import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCloud } from './cloud.mjs';
import { artefacts, checkAxe, checkWidth, launch, openWindow } from './window.mjs';

let cloud, browser;
before(async () => {
  browser = await launch();
  cloud = await startCloud();
});
after(async () => Promise.all([browser?.close(), cloud?.stop()]));

const talk = [
  ['Grace', 'Good morning! Is this thing on?'],
  ['Grace', 'I closed my laptop last night with the chat open.'],
  ['Ada', 'Morning. And did you miss anything?'],
  ['Grace', 'Nothing. It came back with all 42 messages, in order.'],
  ['Linus', 'So the server kept the socket all night?'],
  ['Ada', 'There is no server. The socket is API Gateway’s, and nothing runs until somebody writes.'],
  ['Linus', 'Then who remembers what I subscribed to?'],
  ['Ada', 'A row in DynamoDB. A new message meets it in a stream, and your query is executed for you.'],
];

const shapes = { desktop: { width: 1100, height: 800 }, phone: { width: 390, height: 844 }, narrow: { width: 320, height: 640 } };
for (const theme of ['light', 'dark']) {
  for (const [shape, viewport] of Object.entries(shapes)) {
    test(`the pages are accessible: ${theme}, ${shape}`, async () => {
      const options = { viewport, colorScheme: theme, reducedMotion: 'reduce', deviceScaleFactor: 1.5, isMobile: shape === 'phone' };
      const w = await openWindow(browser, cloud.page, options);
      const chat = `lobby-${theme}-${shape}`;
      for (const [name, text] of talk) await cloud.post(chat, name, text);
      await w.page.goto(`${cloud.page}/c/${chat}`);
      await checkAxe(w.page, 'entrance');
      await checkWidth(w.page);
      await w.page.screenshot({ path: `${artefacts}entrance-${theme}-${shape}.png` });
      await w.join(chat, 'Linus');
      await w.reads(...talk.map(([, text]) => text));
      await checkAxe(w.page, 'chat');
      await checkWidth(w.page);
      await w.page.evaluate(() => document.querySelector('h1').textContent = 'lobby');
      await w.page.screenshot({ path: `${artefacts}chat-${theme}-${shape}.png` });
      await w.page.route('**/graphql', (route) => route.fulfill({ contentType: 'application/graphql-response+json',
        json: { data: null, errors: [{ message: 'You may not write to this chat.', extensions: { code: 'FORBIDDEN' } }] } }));
      await w.write('This one is refused.');
      await w.page.getByText('Not sent').waitFor();
      await w.page.unroute('**/graphql');
      await w.page.route('**/graphql', (route) => route.abort());
      await w.write('This one does not arrive.');
      await w.page.getByText('Waiting for the network').waitFor();
      await cloud.put('/gateway/down');
      await w.hasStatus('Reconnecting');
      await checkAxe(w.page, 'trouble');
      await w.page.screenshot({ path: `${artefacts}trouble-${theme}-${shape}.png` });
      await checkWidth(w.page);
      await cloud.put('/gateway/up');
      w.checkClean();
      await w.close();
    });
  }
}

test('a theme is there from the first paint', async () => {
  for (const [system, chosen] of [['light', 'dark'], ['dark', 'light'], ['dark', undefined]]) {
    const w = await openWindow(browser, cloud.page, { colorScheme: system });
    await w.page.addInitScript((chosen) => {
      if (chosen) localStorage.setItem('subwire.theme', chosen);
      window.colours = new Set();
      const look = () => {
        if (document.body) window.colours.add(getComputedStyle(document.body).backgroundColor);
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, chosen);
    await w.page.route('**/assets/*.js', async (route) => { // what a slow network would show
      if (!route.request().url().includes('chosen')) await w.page.waitForFunction(() => window.colours.size > 0);
      await route.continue();
    });
    await w.page.goto(cloud.page);
    await w.page.getByLabel('Your name').waitFor();
    const dark = (chosen ?? system) === 'dark';
    assert.deepEqual(await w.page.evaluate(() => [...window.colours]), [dark ? 'rgb(16, 16, 23)' : 'rgb(245, 245, 249)'], `${system}, ${chosen}`);
    w.checkClean();
    await w.close();
  }
});

test('text grows with the browser’s text size, and nothing is cut off', async () => {
  const w = await openWindow(browser, cloud.page, { viewport: { width: 640, height: 900 } });
  await cloud.post('sizes', 'Grace', 'Good morning! `code` https://a.example');
  await w.join('sizes', 'Ada');
  await w.reads('Good morning! code https://a.example');
  const sizes = await w.page.evaluate(() => { // at once: texts come and go
    const texts = [...document.querySelectorAll('body *')].filter((e) =>
      [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()) || e.matches('input, textarea'));
    const measure = () => texts.map((e) => parseFloat(getComputedStyle(e).fontSize));
    const before = measure();
    document.documentElement.style.fontSize = '200%';
    return measure().map((after, i) => ({ what: `${texts[i].tagName}.${texts[i].className}`, before: before[i], after }));
  });
  assert.ok(sizes.length > 8, `only ${sizes.length} texts`);
  for (const { what, before, after } of sizes) {
    assert.ok(Math.abs(after - 2 * before) < 0.1, `${what}: ${before} px, then ${after} px`);
  }
  await checkWidth(w.page);
  w.checkClean();
  await w.close();
});

test('people who ask for what is not there get a page', async () => {
  for (const path of ['/nothing/here', '/assets/nothing.js']) {
    for (const colorScheme of ['light', 'dark']) {
      const w = await openWindow(browser, cloud.page, { colorScheme, viewport: { width: 320, height: 600 } });
      assert.equal((await w.page.goto(cloud.page + path)).status(), 404);
      await w.page.getByRole('heading', { name: 'There is no such page' }).waitFor();
      await checkAxe(w.page, path);
      await checkWidth(w.page);
      await w.page.getByRole('link').click();
      await w.page.getByLabel('Your name').waitFor();
      w.checkClean();
      await w.close();
    }
  }
  const { status, body } = await fetch(`${cloud.page}/nothing/here`).then(async (r) => ({ status: r.status, body: await r.text() }));
  assert.deepEqual([status, body], [404, 'not found\n']);
});

test('a theme that was chosen stays', async () => {
  const w = await openWindow(browser, cloud.page, { colorScheme: 'light' });
  const theme = () => w.page.evaluate(() => document.documentElement.dataset.theme);
  await w.page.goto(cloud.page);
  await w.page.getByRole('button', { name: 'Use the dark theme' }).click();
  assert.equal(await theme(), 'dark');
  await w.page.reload();
  await w.page.getByRole('button', { name: 'Use the light theme' }).waitFor();
  assert.equal(await theme(), 'dark');
  await w.close();
});

test('the chat comes in less than 200 KB', async () => {
  const w = await openWindow(browser, cloud.page);
  const responses = [];
  w.page.on('response', (r) => responses.push(r));
  await w.join('budget', 'Ada');
  let sum = 0;
  for (const r of responses) {
    if (r.request().method() === 'GET') sum += (await r.request().sizes()).responseBodySize;
    if (r.url().includes('/assets/')) assert.match((await r.allHeaders())['cache-control'], /immutable/);
  }
  assert.ok(sum > 50_000 && sum < 200_000, `${sum} bytes`);
  w.checkClean();
  await w.close();
});
