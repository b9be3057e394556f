import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCloud } from './cloud.mjs';
import { artefacts, launch, openWindow } from './window.mjs';

let cloud, browser;
before(async () => ([cloud, browser] = await Promise.all([startCloud(), launch()])));
after(async () => Promise.all([browser?.close(), cloud?.stop()]));

test('GraphiQL runs a query and a subscription', async () => {
  const w = await openWindow(browser, cloud.page);
  await cloud.post('lobby', 'Ada', 'earlier');
  await w.page.goto(`${cloud.page}/graphql`);
  const run = async (name) => {
    // The button has a menu once the editor has read the document's operations.
    await w.page.getByRole('button', { name: /Execute query/ }).and(w.page.locator('[aria-haspopup=menu]')).click();
    await w.page.getByRole('menuitem', { name }).click();
  };
  const shows = (text) => w.page.locator('.graphiql-response', { hasText: text }).waitFor();
  await run('Read');
  await shows('earlier');
  await run('Listen');
  await w.page.getByRole('button', { name: /Stop query/ }).waitFor();
  // A subscription is not acknowledged: write until something arrives.
  for (let i = 0; !(await w.page.locator('.graphiql-response', { hasText: 'live' }).count()); i++) {
    assert.ok(i < 1000, 'no event has come');
    await cloud.post('lobby', 'Ada', `live ${i}`);
  }
  await w.page.screenshot({ path: `${artefacts}graphiql.png` });
  w.checkClean();
  await w.close();
});
