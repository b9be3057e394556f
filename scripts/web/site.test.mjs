// The site of the documents: built, every link followed, and searched in Chromium.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { artefacts, launch, openWindow } from './window.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url)), site = `${root}.cache/site`;
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png', '.gif': 'image/gif' };

let server, origin, browser, files;
before(async () => {
  execFileSync(`${root}scripts/site.sh`, { stdio: ['ignore', 'ignore', 'inherit'] });
  files = new Set(readdirSync(site, { recursive: true }).map(String));
  server = createServer((request, response) => {
    const file = fileOf(new URL(request.url, 'http://site').pathname);
    response.writeHead(file ? 200 : 404, { 'content-type': types[extname(file ?? '')] ?? 'text/plain' });
    response.end(file && readFileSync(`${site}/${file}`));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** The file that a host of static pages sends for the path. */
const fileOf = (path) => {
  const name = decodeURIComponent(path).slice(1);
  return [name, `${name}.html`, `${name}index.html`].find((file) => extname(file) && files.has(file));
};

test('every link of every page leads somewhere', () => {
  const pages = [...files].filter((file) => file.endsWith('.html'));
  const html = new Map(pages.map((file) => [file, readFileSync(`${site}/${file}`, 'utf8')]));
  let followed = 0;
  for (const [page, text] of html) {
    for (const [, href] of text.matchAll(/<a [^>]*href="([^"]+)"/g)) {
      const to = new URL(href.replaceAll('&amp;', '&'), `http://site/${page}`);
      if (to.host !== 'site') continue;
      followed++;
      const file = fileOf(to.pathname);
      assert.ok(file, `${page}: ${href}`);
      if (to.hash) assert.match(html.get(file), new RegExp(`id="${decodeURIComponent(to.hash.slice(1))}"`), `${page}: ${href}`);
    }
  }
  assert.ok(pages.length > 15 && followed > 500, `${pages.length} pages, ${followed} links`);
});

test('a reader finds a subject by searching', async () => {
  const w = await openWindow(browser, origin);
  await w.page.goto(origin);
  await w.page.getByRole('heading', { name: 'Subwire', level: 1 }).waitFor();
  await w.page.getByRole('button', { name: 'Search' }).click();
  await w.page.getByRole('searchbox').fill('dead letters again');
  await w.page.getByRole('option', { name: /Send dead letters again/ }).first().waitFor();
  await w.page.screenshot({ path: `${artefacts}site-search.png` });
  await w.page.getByRole('option', { name: /Send dead letters again/ }).first().click();
  await w.page.getByRole('heading', { name: /Send dead letters again/ }).waitFor();
  assert.match(w.page.url(), /\/docs\/operations#send-dead-letters-again$/);
  await w.page.screenshot({ path: `${artefacts}site.png` });
  w.checkClean();
  await w.close();
});
