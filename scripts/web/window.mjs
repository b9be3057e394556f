// A browser window as its user sees it, and its errors.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import AxeBuilder from '@axe-core/playwright';
import { chromium } from 'playwright-core';

/** Where screenshots are kept. */
export const artefacts = fileURLToPath(new URL('../../.cache/web/', import.meta.url));

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** Returns the browser. Launch it before the cloud, so that it is closed even if the cloud does not start. */
export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });

/** Fails if axe finds anything in the page (a Playwright page), or the part of it, as it is now; what names its state. */
export async function checkAxe(page, what, part = 'html') {
  const { violations } = await new AxeBuilder({ page }).include(part).analyze();
  assert.deepEqual(violations.map((v) => `${what}: ${v.id}: ${v.nodes.map((n) => n.target).join(' ')}`), []);
}

/** Fails if the page is wider than its window, so that one would have to scroll sideways. */
export async function checkWidth(page) {
  const content = await page.evaluate(() => document.documentElement.scrollWidth);
  const { width } = page.viewportSize(); // innerWidth grows with the page on a phone
  assert.ok(content <= width, `the page is ${content} px wide, its window ${width} px`);
}

/** Windows of different users share nothing: each has its own context. */
export const openWindow = async (browser, origin, options = {}) =>
  openTab(await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options }), origin);

const openTab = async (context, origin) => watch(await context.newPage(), origin);

function watch(page, origin) {
  const context = page.context();
  page.setDefaultTimeout(60_000); // not an expectation: the machine may be busy
  const outside = [], complaints = [];
  page.on('request', (r) => {
    if (!['data:', 'blob:'].includes(new URL(r.url()).protocol) && new URL(r.url()).origin !== origin) outside.push(r.url());
  });
  page.on('console', (m) => {
    if (/Content Security Policy|Content-Security-Policy|Uncaught/.test(m.text())) complaints.push(m.text());
  });
  page.on('pageerror', (e) => complaints.push(String(e)));
  const user = {
    page,
    /** Fails if the page contacted another host, broke its policy or had an error. */
    checkClean() {
      assert.deepEqual({ outside, complaints }, { outside: [], complaints: [] });
    },
    async join(chat, name) {
      await page.goto(`${origin}/c/${encodeURIComponent(chat)}`);
      await page.getByLabel('Your name').fill(name);
      await page.keyboard.press('Enter');
      await user.isLive();
    },
    isLive: () => user.hasStatus('Live'),
    hasStatus: (text) => page.locator('.status', { hasText: text }).waitFor(),
    async write(text) {
      await page.getByLabel('Message', { exact: true }).fill(text);
      await page.keyboard.press('Enter');
    },
    /** Waits until the log's messages are these, in this order and each once. */
    async reads(...texts) {
      await page.waitForFunction(
        (want) => JSON.stringify([...document.querySelectorAll('.bubble p')].map((e) => e.textContent)) === want,
        JSON.stringify(texts),
      ).catch(async () => assert.deepEqual(await user.texts(), texts));
    },
    /** Waits until there are n messages and no draft: until a draft is answered, its message may be another's. */
    has: (n) => page.waitForFunction(
      (n) => document.querySelectorAll('.message').length === n && !document.querySelector('.draft'), n),
    texts: () => page.locator('.bubble p').allTextContents(),
    drafts: () => page.locator('.draft').count(),
    /** Tells the page that its tab is shown or hidden, as the browser does. */
    show: (visible) => page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, !visible),
    /** Another tab of the same user. */
    tab: () => openTab(context, origin),
    /** The window that an action opens. */
    async opened(action) {
      const [other] = await Promise.all([context.waitForEvent('page'), action()]);
      return watch(other, origin);
    },
    close: () => context.close(),
  };
  return user;
}
