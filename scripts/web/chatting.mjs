// What the chat's tests share: a cloud, and windows that are checked and closed after each test.
import { after, afterEach, before } from 'node:test';
import { startCloud } from './cloud.mjs';
import { launch, openWindow } from './window.mjs';

export let cloud, browser;
/** Those that are open, also through a page's own button: a test adds them. */
export const windows = [];
before(async () => {
  browser = await launch();
  cloud = await startCloud();
});
after(async () => Promise.all([browser?.close(), cloud?.stop()]));
afterEach(async () => {
  await cloud.put('/gateway/up'); // in case a failed test left it down
  for (const w of windows) w.checkClean();
  await Promise.all(windows.splice(0).map((w) => w.close()));
});

export const open = async (options) => {
  const w = await openWindow(browser, cloud.page, options);
  windows.push(w);
  return w;
};
export const join = async (chat, name, options) => {
  const w = await open(options);
  await w.join(chat, name);
  return w;
};
