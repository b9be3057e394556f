// Tests of the package as another project gets it: node --test
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const here = import.meta.dirname;
const modules = join(here, 'node_modules');

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'subwire-client-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

// run returns what a command prints, also if it fails.
function run(cwd, command, ...args) {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (e) {
    return e.stdout + e.stderr;
  }
}
const tsc = join(modules, '.bin/tsc');

test('resume.d.mts is what npm run build makes of the source', (t) => {
  const built = folder(t);
  assert.equal(run(here, tsc, '--outDir', built), '');
  assert.equal(readFileSync(join(here, 'resume.d.mts'), 'utf8'), readFileSync(join(built, 'resume.d.mts'), 'utf8'));
});

test('it is packed, installed elsewhere and imported, in JavaScript and TypeScript', (t) => {
  const project = folder(t);
  const [{ filename, files }] = JSON.parse(run(here, 'npm', 'pack', '--json', '--pack-destination', project));
  assert.deepEqual(files.map((f) => f.path).sort(), ['README.md', 'package.json', 'resume.d.mts', 'resume.mjs']);
  writeFileSync(join(project, 'package.json'), '{"type":"module"}');
  // Offline: what it depends on comes from here.
  run(project, 'npm', 'install', '--offline', '--legacy-peer-deps', '--no-audit', '--no-fund', `./${filename}`);
  for (const name of ['graphql', 'graphql-ws']) symlinkSync(join(modules, name), join(project, 'node_modules', name));

  writeFileSync(join(project, 'main.js'), `import * as all from 'subwire-client'; console.log(Object.keys(all).join());`);
  assert.equal(run(project, 'node', 'main.js'), 'backOff,idOf,isRefusal,resuming,settings,waitTime\n');

  const right = `import { createClient, type Client } from 'graphql-ws';
    import { idOf, isRefusal, resuming, settings, waitTime, type Options } from 'subwire-client';
    const options: Options = { idOf, shouldRetry: (e) => !isRefusal(e) };
    const client: Client = resuming(createClient({ ...settings, url: 'wss://a.example' }), options);
    const ms: number = waitTime(1);
    client.subscribe({ query: 'subscription { a }' }, { next: console.log, error: console.error, complete() {} });
    console.log(ms);`;
  writeFileSync(join(project, 'right.ts'), right);
  const misuses = [['idOf, shouldRetry', 'idOf: 5, shouldRetry'], ['Client = resuming', 'string = resuming'],
    ["createClient({ ...settings, url: 'wss://a.example' })", '5'],
    ['waitTime(1)', "waitTime('1')"]];
  misuses.forEach(([from, to], i) => writeFileSync(join(project, `wrong${i}.ts`), right.replace(from, to)));
  const sources = readdirSync(project).filter((name) => name.endsWith('.ts'));
  const said = run(project, tsc, '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib',
    'es2022,dom', '--types', '', ...sources);
  assert.ok(!said.includes('right.ts('), said);
  misuses.forEach(([, to], i) => assert.ok(said.includes(`wrong${i}.ts(`), `${to} compiles\n${said}`));
});
