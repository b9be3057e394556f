import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const outDir = 'dist';

/** Leaves only the gzipped form of each file, which web.go embeds. */
const compressed: Plugin = {
  name: 'compressed',
  buildStart() {
    for (const name of readdirSync(outDir)) if (name !== '.gitignore') rmSync(join(outDir, name), { recursive: true });
  },
  closeBundle() {
    for (const name of readdirSync(outDir, { recursive: true, encoding: 'utf8' })) {
      const file = join(outDir, name);
      if (name === '.gitignore' || statSync(file).isDirectory()) continue;
      writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      rmSync(file);
    }
  },
};

/** Gives Monaco the DOMPurify of package.json in place of its own, older one. */
const purified: Plugin = {
  name: 'purified',
  enforce: 'pre',
  resolveId: (source) =>
    source.endsWith('/dompurify/dompurify.js') ? join(import.meta.dirname, 'src/dompurify.ts') : null,
};

/** Puts chosen.js into the pages that have themes, under a name with a hash as all assets have. */
const themed: Plugin = {
  name: 'themed',
  buildStart() {
    this.emitFile({ type: 'asset', name: 'chosen.js', source: readFileSync('src/chosen.js') });
  },
  transformIndexHtml: {
    order: 'post',
    handler(_, { bundle, path }) {
      const script = Object.values(bundle ?? {}).find((file) => file.type === 'asset' && file.names.includes('chosen.js'));
      return script && path !== '/graphiql.html' ? [{ tag: 'script', attrs: { src: `/${script.fileName}` } }] : [];
    },
  },
};

export default defineConfig({
  plugins: [purified, react(), themed, compressed],
  build: {
    outDir,
    emptyOutDir: false, // .gitignore stays
    assetsInlineLimit: 0, // the content security policy allows no data: URLs of ours
    modulePreload: { polyfill: false }, // it would need an inline script
    chunkSizeWarningLimit: 3000, // GraphiQL's editor
    rolldownOptions: {
      checks: { pluginTimings: false },
      input: ['index.html', 'graphiql.html', '404.html'],
      onLog: (level, log, handle) => log.code === 'MODULE_LEVEL_DIRECTIVE' || handle(level, log), // "use client" means nothing here
    },
  },
});
