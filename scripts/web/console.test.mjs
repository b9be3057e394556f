// The console's page. What a cloud does is tested with a cloud; what it does rarely with a
// server that answers what a test says.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { scale } from '../internal/console/page/scale.js';
import { layout } from '../internal/console/page/layout.js';
import { startCloud } from './cloud.mjs';
import { sample, startFake } from './consolefake.mjs';
import { artefacts, checkAxe, checkWidth, launch, openWindow } from './window.mjs';

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

describe('with answers of our own', () => {
  let fake, w, page, newest;
  beforeEach(async () => {
    fake = await startFake();
    newest = fake.answers.state.events[0].id;
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
    await page.locator('#functions tbody tr').first().waitFor();
  };
  const connection = () => encodeURIComponent(fake.answers.state.connections[0].id);
  const query = () => new URL(page.url()).searchParams;
  /** Changes what the server answers and waits until the page has asked for it. */
  const answer = async (change) => {
    change(fake.answers);
    const asked = fake.asked;
    while (fake.asked < asked + 2) await page.waitForResponse('**/api/state');
  };

  const panels = {
    live: () => '',
    trace: () => `?event=${newest}&connection=${connection()}&faults=all`,
    connections: () => `?view=connections&connection=${connection()}`,
    topics: () => '?view=topics',
    letters: () => '?view=queues',
    bill: () => '?view=bill',
  };
  for (const [theme, width, height] of [
    ['light', 1440, 900],
    ['dark', 1440, 900],
    ['dark', 1280, 720],
    ['light', 768, 1024],
  ]) {
    test(`every panel is accessible and fits: ${theme}, ${width} px`, async () => {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height });
      for (const [name, address] of Object.entries(panels)) {
        await open(address());
        if (name === 'live' || name === 'trace') await page.locator('#trace .steps li').first().waitFor();
        if (name === 'letters') await page.getByRole('button', { name: 'Send 2 letters again' }).waitFor();
        await page.screenshot({
          path: `${artefacts}console-${name}-${theme}-${width}.png`,
          fullPage: width === 768,
        });
        await checkAxe(page, name);
        await checkWidth(page);
      }
      await page.keyboard.press('?');
      await page.getByRole('dialog').waitFor();
      await checkAxe(page, 'help');
      await page.screenshot({ path: `${artefacts}console-help-${theme}-${width}.png` });
    });
  }

  test('text of others stays text', async () => {
    const evil = '<img src=x onerror="window.hacked=1"><b>bold</b>';
    const { state, ...rest } = fake.answers;
    const t = rest[`events/${newest}`],
      l = rest[`connections/${state.connections[0].id}`];
    Object.assign(state.events[0], { topic: evil });
    Object.assign(state.connections[0], { viewer: evil, client: evil });
    Object.assign(l, {
      viewer: evil,
      client: evil,
      frames: [
        { ...l.frames[0], text: evil },
        { ...l.frames[1], text: JSON.stringify({ type: evil, id: evil, payload: evil }) },
      ],
    });
    Object.assign(t, { topic: evil, trace: evil });
    Object.assign(t.spans[0], { name: evil, detail: evil });
    Object.assign(t.posts[0], { connection: evil, operation: evil });
    Object.assign(t.executions[0], { document: evil, frame: evil });
    Object.assign(t.request, { document: evil, variables: evil, graphiql: 'javascript:window.hacked=1' });
    state.topics[0].name =
      state.functions[0].name =
      state.faults[0].what =
      state.bill[0].what =
      state.nodes[1].name =
        evil;
    state.notes = [evil];
    state.alarms = [evil];
    fake.answers['dead/retries-dead'].letters[0].reason = evil;
    for (const address of [
      `?event=${newest}&connection=${connection()}`,
      '?view=topics',
      '?view=queues',
      '?view=bill',
      '?view=connections',
    ]) {
      await open(address);
      await page.waitForResponse('**/api/state');
      assert.equal(await page.locator('img, main b b').count(), 0, address);
      assert.equal(await page.evaluate(() => window.hacked), undefined);
    }
    await open(`?event=${newest}`);
    await page.locator('#trace .steps', { hasText: evil }).waitFor();
    assert.equal(await page.locator('#trace a.button').isVisible(), false, 'a link to a script');
  });

  test('the address holds what is shown', async () => {
    await open();
    await page.getByRole('link', { name: fake.answers.state.events[2].id }).click();
    await page.getByRole('button', { name: 'only with retries' }).click();
    await page.locator('#topic').selectOption('newMessage/lobby');
    assert.deepEqual(Object.fromEntries(query()), { retries: '1', topic: 'newMessage/lobby' });
    const want = fake.answers.state.events.filter((e) => e.retries && e.topic === 'newMessage/lobby').length;
    assert.equal(await page.locator('#events tbody tr').count(), want);
    await page.reload();
    await page.locator('#events tbody tr').first().waitFor();
    assert.equal(await page.locator('#events tbody tr').count(), want);
    assert.equal(await page.getByRole('button', { name: 'only with retries' }).getAttribute('aria-pressed'), 'true');
    await page.goBack();
    await page.goBack();
    assert.equal(query().get('event'), fake.answers.state.events[2].id);
    await page.locator(`#events tr[data-id="${fake.answers.state.events[2].id}"] a[aria-current]`).waitFor();
    await page.goForward();
    assert.equal(query().get('retries'), '1');
    await page.getByRole('link', { name: /^Connections/ }).click();
    await page.locator('#connections tbody a').nth(3).click();
    await page.reload();
    await page.locator('#connections a[aria-current]').waitFor();
    assert.equal(query().get('view'), 'connections');
  });

  test('everything is reached by the keyboard', async () => {
    await open();
    await page.locator('#trace .cells button').first().waitFor();
    await page.keyboard.press('e');
    const focused = () => page.evaluate(() => document.activeElement.closest('tr')?.dataset.id);
    assert.equal(await focused(), newest);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    const third = fake.answers.state.events[2].id;
    assert.equal(await focused(), third);
    await page.keyboard.press('Enter');
    assert.equal(query().get('event'), third);
    await page.keyboard.press('Escape');
    assert.equal(query().get('event'), null);
    await page.keyboard.press('End');
    assert.equal(await focused(), fake.answers.state.events.at(-1).id);
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await page.locator('#trace .cells button').first().focus();
    await page.keyboard.press('ArrowRight');
    await page.locator('#trace .about', { hasText: 'delivered (200)' }).waitFor();
    await page.keyboard.press('Enter');
    await page.locator('#log .frames li').first().waitFor();
    assert.equal(query().get('connection'), fake.answers[`events/${newest}`].posts[1].connection);
    await page.keyboard.press('Escape');
    assert.equal(query().get('connection'), null);
    for (const view of ['connections', 'topics', 'queues', 'bill']) {
      await page.keyboard.press(String(['live', 'connections', 'topics', 'queues', 'bill'].indexOf(view) + 1));
      assert.equal(query().get('view'), view);
    }
    await page.keyboard.press('1');
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.getByLabel('single letters').uncheck();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.keyboard.press('4');
    assert.equal(query().get('view'), null, 'a shortcut that was turned off');

    // Tab comes to each thing that can be pressed: lists are one stop. On a page that was
    // just opened it begins at the top; after a blur, where the focus was.
    await open();
    await page.locator('#trace .cells button').first().waitFor();
    const stops = new Set();
    for (let i = 0; i < 120; i++) {
      await page.keyboard.press('Tab');
      const stop = await page.evaluate(() => {
        const a = document.activeElement;
        const name = a.closest('#events tbody, .cells')
          ? a.closest('[id]').id
          : (a.getAttribute('aria-label') ?? a.textContent).trim();
        return a === document.body
          ? null
          : { name, seen: getComputedStyle(a).outlineStyle !== 'none' || Boolean(a.closest('tr')) };
      });
      if (!stop) break;
      assert.ok(stop.seen, `the focus on ${stop.name} is not seen`);
      stops.add(stop.name);
    }
    for (const name of [
      'Live',
      '▶ Post',
      '50/s for 10 s',
      'only slow',
      'Send again',
      'Copy as curl',
      'Heal all',
      'Kill sender',
      'Look inside retries-dead',
    ]) {
      assert.ok(stops.has(name), `Tab does not come to ${name}, only to ${[...stops].join(', ')}`);
    }
  });

  test('an update keeps nodes and the focus', async () => {
    await open(`?event=${newest}`);
    await page.locator('#trace .cells button').first().waitFor();
    const row = page.locator('#events tbody tr').nth(4);
    await row.locator('a').focus();
    await page.evaluate(() => {
      document.querySelectorAll('#events tbody tr, #trace .cells button').forEach((n) => (n.dataset.old = '1'));
    });
    await answer(({ state }) => {
      const e = { ...state.events[0], id: 'NEW1', topic: 'newMessage/fresh' };
      state.events = [e, ...state.events.slice(0, -1)];
      state.events[5] = { ...state.events[5], delivered: 1, parked: 7 };
    });
    await page.locator('#events tr', { hasText: '7 parked' }).waitFor();
    assert.equal(await page.locator('#events tbody tr:not([data-old])').count(), 1);
    assert.equal(await page.locator('#trace .cells button:not([data-old])').count(), 0);
    assert.equal(
      await page.evaluate(() => document.activeElement.closest('tr')?.querySelector('.bad')?.textContent),
      '7 parked',
    );
  });

  test('large states stay smooth', async () => {
    fake.answers = sample({ events: 200, targets: 2000 });
    newest = fake.answers.state.events[0].id;
    await open(`?event=${newest}`);
    await page.waitForFunction(() => document.querySelectorAll('#trace .cells button').length === 2000);
    await page.evaluate(() => {
      window.changes = [];
      new MutationObserver((all) =>
        window.changes.push(...all.map((m) => `${m.type} ${m.attributeName} of ${m.target.id || m.target.className}`)),
      ).observe(document.body, {
        subtree: true,
        childList: true,
        attributes: true,
        characterData: true,
      });
    });
    await answer(() => {});
    assert.deepEqual(await page.evaluate(() => window.changes), [], 'an answer that says nothing new changes nothing');
  });

  test('a server that has gone is said, and found again', async () => {
    await open();
    fake.port = Number(new URL(fake.page).port);
    await fake.stop();
    await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor();
    await page.screenshot({ path: `${artefacts}console-gone.png` });
    assert.ok(await page.locator('#events tbody tr').count(), 'what was known stays');
    const { answers, port } = fake;
    fake = await startFake(port);
    fake.answers = answers;
    await page.getByRole('alert').waitFor({ state: 'hidden' });
  });

  test('empty panels say what to do', async () => {
    const { state } = fake.answers;
    // Go writes a list without items as null.
    for (const name of ['events', 'connections', 'topics', 'bill', 'histogram']) state[name] = null;
    Object.assign(state, {
      owed: 0,
      delivered: 0,
      ended: 0,
      lost: 0,
      dead: 0,
      usd: 0,
      perMillion: 0,
      open: 0,
      latency: { p50: 0, p99: 0 },
    });
    state.queues.forEach((q) => (q.depth = q.inFlight = 0));
    for (const name of Object.keys(fake.answers)) if (name.startsWith('dead/')) fake.answers[name] = { letters: [] };
    await open();
    await page.screenshot({ path: `${artefacts}console-empty.png` });
    assert.equal(await page.getByText('undefined').filter({ visible: true }).count(), 0);
    await checkAxe(page, 'empty');
    await page.locator('#events .empty').getByRole('button', { name: 'Post' }).click();
    while (!fake.actions.length) await page.waitForResponse('**/api/state');
    assert.deepEqual(fake.actions, [{ name: 'post', body: { times: 1, perSecond: 0 }, header: '1' }]);
    for (const [key, words] of [
      ['2', 'Nobody is connected'],
      ['3', 'No topic has had an event'],
      ['4', 'No dead letters'],
      ['5', 'Nothing was paid for'],
    ]) {
      await page.keyboard.press(key);
      await page.getByText(words).filter({ visible: true }).waitFor();
    }
  });

  test('what a deployment does not allow is not offered', async () => {
    const { state } = fake.answers;
    state.where = 'prod';
    for (const name of Object.keys(state.can)) state.can[name] = false;
    await open(`?event=${newest}&connection=${connection()}`);
    await page.locator('#log .frames li').first().waitFor();
    const names = (await page.getByRole('button').allTextContents()).map((t) => t.trim());
    for (const name of [
      '▶ Post',
      '50/s for 10 s',
      '+100 subscribers',
      'Cut',
      'Revoke',
      'Kill',
      'Heal all',
      'Send again',
    ]) {
      assert.ok(!names.includes(name), name);
    }
    await page.getByText('Faults are for the local cloud').waitFor();
    await page.screenshot({ path: `${artefacts}console-stack.png` });
  });

  test('nothing moves for those who do not want it', async () => {
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    await open();
    const moving = () => page.evaluate(() => document.getAnimations().filter((a) => a.playState === 'running').length);
    assert.ok((await moving()) > 0, 'the map is alive');
    await page.emulateMedia({ reducedMotion: 'reduce' });
    assert.equal(await moving(), 0);
  });

  test('a theme that was chosen stays, and is there before the first paint', async () => {
    await page.emulateMedia({ colorScheme: 'light' });
    await open();
    await page.getByRole('button', { name: 'Use the dark theme' }).click();
    await page.route('**/console.js', (route) => route.abort());
    await page.reload();
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
  });

  test('a click on the map filters', async () => {
    await open(`?event=${newest}`);
    await page.getByTitle('stream', { exact: true }).click();
    await page.waitForFunction(() =>
      [...document.querySelectorAll('#trace .steps li')].every((li) => !li.textContent.startsWith('sender')),
    );
    await page.locator('#functions tr.selected', { hasText: 'stream' }).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('#trace .steps li', { hasText: 'sender' }).first().waitFor();
    await page.locator('.node', { hasText: 'fanout.fifo' }).click();
    await page.locator('#queues a[aria-current]', { hasText: 'fanout.fifo' }).waitFor();
    await page.locator('.node', { hasText: 'clients' }).click();
    await page.locator('#connections tbody tr').first().waitFor();
  });

  test('dead letters are looked at, then sent again', async () => {
    await open();
    await page.getByRole('link', { name: 'Look inside retries-dead' }).click();
    await page.locator('#letters tbody tr', { hasText: 'timeout' }).waitFor();
    assert.equal(fake.actions.length, 0, 'to look changes nothing');
    await page.getByRole('button', { name: 'Send 2 letters again' }).click();
    await page.getByRole('status').filter({ hasText: 'Sent again' }).waitFor();
    assert.deepEqual(fake.actions, [{ name: 'dead/retries-dead/redrive', body: {}, header: '1' }]);
    await answer((answers) => {
      answers['dead/retries-dead'] = { letters: [] };
      answers.state.queues.find((q) => q.name === 'retries-dead').depth = 0;
    });
    await page.getByText('No dead letters').waitFor();
  });

  test('faults and chances are sent as they are set', async () => {
    await open();
    await page.getByRole('switch', { name: /Posts fail/ }).check();
    await page.getByLabel('Chance of post:429').fill('12.5');
    await page.keyboard.press('Tab');
    await page.getByRole('switch', { name: /Busy clients/ }).uncheck();
    await page.getByRole('switch', { name: /Gateway down/ }).check();
    await page.getByRole('button', { name: 'Heal all' }).click();
    while (fake.actions.length < 5) await page.waitForResponse('**/api/state');
    assert.deepEqual(
      fake.actions.map(({ name, body }) => ({ to: name, ...body })),
      [
        { to: 'faults', name: 'post:500', on: true, chance: 0.01 },
        { to: 'faults', name: 'post:429', on: true, chance: 0.125 },
        { to: 'faults', name: 'post:429', on: false, chance: 0.125 },
        { to: 'faults', name: 'gateway:down', on: true, chance: 0 },
        { to: 'heal' },
      ],
    );
  });
});

describe('with a cloud', () => {
  let cloud, w, page;
  before(async () => (cloud = await startCloud()));
  after(() => cloud?.stop());
  beforeEach(async () => {
    w = await openWindow(browser, cloud.page, { viewport: { width: 1440, height: 900 } });
    page = w.page;
    await page.goto(`${cloud.page}/console`);
  });
  afterEach(async () => {
    w.checkClean();
    await w.close();
  });
  const button = (name) => page.getByRole('button', { name, exact: true });
  const figure = (name) =>
    page.locator('#figures div', { has: page.locator('dt', { hasText: new RegExp(`^${name}$`) }) }).locator('dd');
  const shows = (name, value) =>
    figure(name)
      .filter({ hasText: new RegExp(`^${value}$`) })
      .waitFor();

  test('an event is followed from the write to each socket, with its retries', async () => {
    await button('+100 subscribers').click();
    await page.locator('.node', { hasText: '100 open' }).waitFor();
    await page.getByLabel('Chance of post:429').fill('30');
    await page.getByRole('switch', { name: /Busy clients/ }).check();
    await page.locator('#post').click();
    await page.locator('#trace .cells button.ok').first().waitFor();
    await page.locator('#break li.on b', { hasText: /met/ }).waitFor();
    await button('Heal all').click();
    await shows('delivered', 100);
    await shows('on their way', 0);
    await page.waitForFunction(() => document.querySelectorAll('#trace .cells button.ok').length === 100);
    for (const step of ['mutation · graphql', 'PutItem', 'stream · plan', 'Query subscriptions', 'sender · group']) {
      await page.locator('#trace .steps li', { hasText: step }).first().waitFor();
    }
    await page.locator('#trace article', { hasText: 'shared by 100' }).waitFor();
    await page.screenshot({ path: `${artefacts}console-cloud.png` });
    assert.match(await page.locator('#trace a.button').getAttribute('href'), /\/graphql#query=mutation/);

    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await button('Copy as curl').click();
    await page.getByRole('status').filter({ hasText: 'Copied' }).waitFor();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^curl .*postMessage/);
    await page.getByText('The mutation that wrote it').click();
    await page.reload();
    await page.getByLabel('The mutation', { exact: true }).filter({ hasText: 'postMessage' }).waitFor();

    // The protocol of one of them, which is then cut.
    await page.locator('#trace .cells button').first().click();
    for (const kind of ['connection_init', 'connection_ack', 'subscribe 1', 'next 1']) {
      await page.locator('#log b', { hasText: kind }).first().waitFor(); // a refused post is there, too
    }
    await button('Cut').click();
    await page.locator('#log .meta', { hasText: 'closed' }).waitFor();

    await button('Send again').click();
    await page.locator('#events tbody tr').nth(1).waitFor();
  });

  test('a killed function starts again', async () => {
    await page.locator('#post').click();
    const row = page.locator('#functions tr', { has: page.getByRole('button', { name: 'Kill stream' }) });
    const cold = row.locator('td').nth(2);
    await cold.filter({ hasText: /^1$/ }).waitFor();
    await row.getByRole('button').click();
    await page.getByRole('status').filter({ hasText: 'was killed' }).waitFor();
    await page.locator('#post').click();
    await cold.filter({ hasText: /^2$/ }).waitFor();
  });

  test('a gateway that is down says so', async () => {
    await page.getByRole('switch', { name: /Gateway down/ }).check();
    await page.locator('.node.down').waitFor();
    await button('Heal all').click();
    await page.locator('.node.down').waitFor({ state: 'detached' });
  });
});

test('long waits are drawn short', () => {
  const wait = (begin, took) => ({ kind: 'wait', begin, took });
  const work = (begin, took) => ({ kind: 'function', begin, took });
  const near = (got, want) => assert.ok(Math.abs(got - want) < 1e-9, `${got} is not ${want}`);
  const plain = scale([work(0, 10), wait(10, 20), work(30, 10)]);
  assert.deepEqual(plain.breaks, []);
  near(plain.at(20), 0.5);
  const long = scale([work(0, 10), wait(10, 5000), work(5010, 10)]);
  assert.deepEqual(long.breaks, [{ begin: 10, took: 5000 }]);
  near(long.at(10), 0.46);
  near(long.at(5010), 0.54);
  near(long.at(5020), 1);
  near(scale([]).at(0), 0);
});

test('the map keeps the way of an event in one row', () => {
  const { state } = sample();
  const { boxes, lines } = layout(state.nodes);
  assert.deepEqual(
    boxes.map((b) => [b.column, b.row, b.names.join(' ')]),
    [
      [0, 0, 'clients'],
      [1, 0, 'gateway'],
      [2, -1, 'connect disconnect'],
      [2, 0, 'graphql message'],
      [3, 0, 'messages reads subscriptions'],
      [4, 0, 'stream'],
      [5, 0, 'fanout.fifo'],
      [5, 1, 'retries'],
      [6, 0, 'sender'],
    ],
  );
  assert.deepEqual(
    lines.filter((l) => l.way !== 'on').map((l) => `${l.from.names} ${l.way} to ${l.to.names}`),
    ['retries aside to sender', 'sender back to gateway'],
  );
  assert.deepEqual(
    boxes.filter((b) => b.dead).map((b) => [b.names[0], b.dead]),
    [['retries', 2]],
  );
});
