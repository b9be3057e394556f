// The console's page with what a stack's console answers: no frames, no faults, a price before
// connections are read.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { sample, startFake } from './consolefake.mjs';
import { artefacts, checkAxe, checkWidth, launch, openWindow } from './window.mjs';

let browser, fake, w, page;
before(async () => (browser = await launch()));
after(() => browser?.close());
beforeEach(async () => {
  fake = await startFake();
  Object.assign(fake.answers.state, {
    where: 'subwire-prod',
    http: 'https://abc.execute-api.eu-west-1.amazonaws.com/graphql',
    can: { redrive: true, scan: true },
    functions: [],
    faults: [],
    connections: [],
    topics: [],
    histogram: null,
    open: 0,
    usd: 0.0012,
    perMillion: 0,
    bill: [{ service: 'CloudWatch', what: 'metrics of the dashboard', units: 120, usd: 0.0012 }],
    scan: { rows: 41_200, units: 5120, usd: 0.00064, running: false, at: '0001-01-01T00:00:00Z' },
    figures: [
      { part: 'posts', label: 'posted', value: 36_720 },
      { part: 'losses', label: 'retries-dead', value: 2 },
    ],
    alarms: ['queue-retries-dead'],
    notes: ['The log could not be read: Rate exceeded'],
  });
  w = await openWindow(browser, fake.page, { viewport: { width: 1440, height: 900 } });
  page = w.page;
});
afterEach(async () => {
  w.checkClean();
  await w.close();
  await fake.stop();
});
const open = async (query = '') => {
  await page.goto(`${fake.page}/console${query}`);
  await page.locator('#dashboard tbody tr').first().waitFor();
};

test('a stack shows its dashboard, alarms and notes, and nothing that it cannot do', async () => {
  await open();
  assert.match(await page.locator('#dashboard').innerText(), /posted\s+36,720[^]*retries-dead\s+2/);
  const foot = await page.locator('footer').innerText();
  for (const words of ['subwire-prod', 'alarm: queue-retries-dead', 'Rate exceeded']) assert.ok(foot.includes(words), foot);
  for (const name of ['#post', '#burst', '#more', '#break', '#functions']) {
    assert.equal(await page.locator(name).isVisible(), false, `${name} is there`);
  }
  assert.match(await page.locator('#figures').innerText(), /this console/i);
  assert.equal(await page.locator('#graphiql').getAttribute('href'), fake.answers.state.http);
  assert.equal(await page.locator('#start').getAttribute('href'), 'https://abc.execute-api.eu-west-1.amazonaws.com/');
});

test('every view is accessible and fits', async () => {
  for (const view of ['live', 'connections', 'topics', 'queues', 'bill']) {
    await open(`?view=${view}`);
    await page.screenshot({ path: `${artefacts}console-stack-${view}.png` });
    await checkAxe(page, view);
    await checkWidth(page);
  }
});

test('connections are read for the price on the button', async () => {
  await open('?view=connections');
  const button = page.locator('#connections').getByRole('button');
  await button.getByText('Read all: about 41,200 rows, $0.000640').click();
  await page.getByText('The connections are being read').waitFor();
  assert.deepEqual(fake.actions, [{ name: 'scan', body: { usd: 0.00064 }, header: '1' }]);
  fake.answers.state.scan.running = true;
  await page.locator('#connections button[aria-disabled=true]', { hasText: 'Reading…' }).waitFor();
  Object.assign(fake.answers.state, {
    connections: sample().state.connections,
    open: 40_900,
    scan: { ...fake.answers.state.scan, running: false, at: fake.answers.state.at },
  });
  await page.locator('#connections .end', { hasText: '40,900 open 0 s ago' }).waitFor();
  await button.getByText('Read all again').waitFor();
  await page.locator('#connections tbody tr').first().waitFor();
});
