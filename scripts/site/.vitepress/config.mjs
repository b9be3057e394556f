// The site is made of the documents as they are on GitHub, which scripts/site.sh copies to
// pages, a README.md as index.md. Its navigation is docs/README.md.
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { defineConfig } from 'vitepress';

const pages = new URL('../pages/', import.meta.url);
/** Where files of the repository are read, as https://HOST/OWNER/NAME/blob/main. */
const source = process.env.SITE_SOURCE?.replace(/\/$/, '');

/** Names a heading as GitHub does, so that links fit both. */
const slugify = (text) =>
  [...text.trim().toLowerCase()].map((c) => (c === ' ' ? '-' : c)).filter((c) => /[-_\p{L}\p{N}]/u.test(c)).join('');

/** The sections of docs/README.md, and each link that begins an item. */
function sidebar() {
  const [, ...sections] = readFileSync(new URL('docs/index.md', pages), 'utf8').split(/^## /m);
  return sections.map((section) => {
    const [text] = section.split('\n', 1);
    const links = [...section.matchAll(/\[([^\]]+)\]\(([^)]+)\.md\)/g)];
    const item = ([, name, path]) => ({ text: name[0].toUpperCase() + name.slice(1), link: posix.join('/docs', path) });
    return { text, items: links.map(item) };
  });
}

/**
 * Leads links to pages here, and those to other files to the repository. Where that is
 * unknown, their names are left as text.
 */
function relink(markdown) {
  markdown.core.ruler.push('relink', ({ tokens, env }) => {
    for (const { children } of tokens) {
      let isText = false;
      for (const token of children ?? []) {
        if (token.type === 'link_open') {
          const href = target(token.attrGet('href'), posix.dirname(env.relativePath));
          isText = href === undefined;
          if (!isText) token.attrSet('href', href);
        }
        if (!isText || !token.type.startsWith('link_')) continue;
        Object.assign(token, { type: 'text', tag: '', content: '', attrs: null });
      }
    }
  });
}

/** Where a link leads that stands in a page of the folder. Undefined for a file when no source is known. */
function target(href, folder) {
  if (/^([a-z]+:|#|\/)/.test(href)) return href;
  const page = href.replace(/(^|\/)README\.md/, '$1index.md');
  if (/\.md(#|$)/.test(page) && existsSync(new URL(posix.join(folder, page.split('#')[0]), pages))) return page;
  return source && `${source}/${posix.join(folder, href)}`;
}

export default defineConfig({
  srcDir: 'pages',
  outDir: '../../.cache/site',
  cacheDir: '../../.cache/vitepress',
  base: process.env.SITE_BASE ?? '/',
  lang: 'en',
  title: 'Subwire',
  description: 'GraphQL subscriptions on AWS without servers',
  cleanUrls: true,
  markdown: { html: false, anchor: { slugify }, config: relink },
  vite: { build: { chunkSizeWarningLimit: 2000 } },
  themeConfig: {
    search: { provider: 'local' },
    nav: [{ text: 'Documents', link: '/docs/' }],
    sidebar: [{ text: 'Subwire', link: '/' }, ...sidebar()],
    outline: [2, 3],
  },
});
