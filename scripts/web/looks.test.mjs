import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import AxeBuilder from '@axe-core/playwright';
import { startCloud } from './cloud.mjs';
import { artefacts, launch, openWindow } from './window.mjs';

let cloud, browser;
before(async () => ([cloud, browser] = await Promise.all([startCloud(), launch()])));
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

const axe = async (page, what) => {
  const { violations } = await new AxeBuilder({ page }).analyze();
  assert.deepEqual(violations.map((v) => `${what}: ${v.id}: ${v.nodes.map((n) => n.target).join(' ')}`), []);
};

const shapes = { desktop: { width: 1100, height: 800 }, phone: { width: 390, height: 844 } };
for (const theme of ['light', 'dark']) {
  for (const [shape, viewport] of Object.entries(shapes)) {
    test(`the pages are accessible: ${theme}, ${shape}`, async () => {
      const options = { viewport, colorScheme: theme, reducedMotion: 'reduce', deviceScaleFactor: 1.5, isMobile: shape === 'phone' };
      const w = await openWindow(browser, cloud.page, options);
      const chat = `lobby-${theme}-${shape}`;
      for (const [name, text] of talk) await cloud.post(chat, name, text);
      await w.page.goto(`${cloud.page}/c/${chat}`);
      await axe(w.page, 'entrance');
      await w.page.screenshot({ path: `${artefacts}entrance-${theme}-${shape}.png` });
      await w.join(chat, 'Linus');
      await w.reads(...talk.map(([, text]) => text));
      await axe(w.page, 'chat');
      await w.page.evaluate(() => document.querySelector('h1').textContent = 'lobby');
      await w.page.screenshot({ path: `${artefacts}chat-${theme}-${shape}.png` });
      await w.page.route('**/graphql', (route) => route.abort());
      await w.write('This one does not arrive.');
      await w.page.getByText('Not sent').waitFor();
      await cloud.put('/gateway/down');
      await w.hasStatus('Reconnecting');
      await axe(w.page, 'trouble');
      await w.page.screenshot({ path: `${artefacts}trouble-${theme}-${shape}.png` });
      await cloud.put('/gateway/up');
      assert.ok(await w.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than the screen');
      w.checkClean();
      await w.close();
    });
  }
}

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
