// Records docs/nothing-lost.gif: two people in a chat, the gateway cut and mended.
//   node record.mjs      after make test-web has built the local cloud
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import gifenc from 'gifenc';
import { PNG } from 'pngjs';
import { startCloud } from './cloud.mjs';
import { launch, openWindow } from './window.mjs';

const out = fileURLToPath(new URL('../../docs/nothing-lost.gif', import.meta.url));
const side = { width: 440, height: 480 }, gap = 8, captionHeight = 44;
const size = { width: 2 * side.width + gap, height: captionHeight + side.height };
const colours = 63; // and one for what has not changed since the frame before

const [cloud, browser] = await Promise.all([startCloud(), launch()]);
const people = [], open = () => openWindow(browser, cloud.page, { viewport: side, colorScheme: 'light', reducedMotion: 'reduce' });
const subtitle = await (await browser.newContext({ viewport: { width: size.width, height: captionHeight } })).newPage();
await subtitle.setContent('<body style="margin:0;font:600 19px/44px system-ui;text-align:center;background:#10131a;color:#fff">');
const caption = (text) => subtitle.evaluate((t) => (document.body.textContent = t), text);

/** What is on the screen now: the caption, and both windows side by side. */
async function picture() {
  const png = new PNG(size);
  const parts = await Promise.all([subtitle, ...people.map(({ page }) => page)].map((page) => page.screenshot()));
  const [head, left, right] = parts.map((part) => PNG.sync.read(part));
  png.data.fill(0x80);
  PNG.bitblt(head, png, 0, 0, size.width, captionHeight, 0, 0);
  PNG.bitblt(left, png, 0, 0, side.width, side.height, 0, captionHeight);
  PNG.bitblt(right, png, 0, 0, side.width, side.height, side.width + gap, captionHeight);
  return png.data;
}

const gif = gifenc.GIFEncoder();
let before;
/** Adds a frame that stays for so many ms. */
async function frame(delay) {
  const now = await picture();
  const palette = gifenc.quantize(now, colours);
  const pixels = gifenc.applyPalette(now, palette);
  while (palette.length <= colours) palette.push([0, 0, 0]);
  if (before) {
    for (let i = 0; i < pixels.length; i++) {
      const at = 4 * i;
      if (now[at] === before[at] && now[at + 1] === before[at + 1] && now[at + 2] === before[at + 2]) pixels[i] = colours;
    }
  }
  gif.writeFrame(pixels, size.width, size.height, { palette, delay, transparent: true, transparentIndex: colours, dispose: 1 });
  before = now;
}
/** Shows all that happens until the promise is kept. */
async function until(promise) {
  let isKept = false;
  const kept = promise.finally(() => (isKept = true));
  while (!isKept) await frame(250);
  await kept;
}

for (const name of ['Ada', 'Bob']) {
  const window = await open();
  await window.join('lobby', name);
  people.push(window);
}
const [ada, bob] = people, said = [];
async function say(person, text, isHeard = true) {
  await person.write(text);
  said.push(text);
  await (isHeard ? Promise.all(people.map((p) => p.reads(...said))) : person.reads(...said));
  await frame(1100);
}

await caption('Ada and Bob are in a chat.');
await frame(1200);
await say(ada, 'Hi Bob, are you on the train?');
await say(bob, 'Yes, with a tunnel ahead');

await cloud.put('/gateway/down');
await caption('The gateway is cut: every socket is lost.');
await until(bob.hasStatus('Reconnecting'));
await frame(1500);
await caption('Ada goes on writing. Nothing reaches Bob.');
for (const text of ['The platform has changed', 'It is 7 now', 'I wait at the clock']) await say(ada, text, false);
await frame(1000);

await caption('The gateway is back.');
await cloud.put('/gateway/up');
await until(Promise.all(people.map((p) => p.isLive().then(() => p.reads(...said)))));
await frame(1000);
await caption('Nothing is lost: every message once, in order.');
await frame(3500);

gif.finish();
writeFileSync(out, gif.bytes());
console.log(`${out}: ${Math.round(gif.bytes().length / 1024)} KB`);
await browser.close();
await cloud.stop();
