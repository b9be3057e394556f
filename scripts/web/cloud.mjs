// Starts a separate local cloud, from the binaries that make test-web builds.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A folder that looks like the repository with its binaries: a repository has one local cloud at a time. */
function ownRoot() {
  const own = mkdtempSync(join(tmpdir(), 'subwire-web-'));
  mkdirSync(join(root, '.cache/jars'), { recursive: true });
  mkdirSync(join(own, '.cache'));
  symlinkSync(join(root, '.cache/jars'), join(own, '.cache/jars'));
  symlinkSync(join(root, 'bin'), join(own, 'bin'));
  return own;
}

/** With SUBWIRE_HOST=1 the sockets of every test are held by two hosts. */
const hosts = process.env.SUBWIRE_HOST ? ['--hosts', '2'] : [];

/** Returns the running cloud: its page, its tokens, its control API, its log, and how to stop it. */
export async function startCloud(...args) {
  const free = '127.0.0.1:0', own = ownRoot();
  const cloud = spawn('bin/local/subwire', ['local', '--root', own, '--http', free, '--ws', free, '--control', free, '--issuer', free, ...hosts, ...args], { cwd: root });
  let output = '', logs = '';
  cloud.stderr.on('data', (text) => (logs += text));
  const ended = new Promise((resolve) => cloud.on('exit', resolve));
  await new Promise((resolve, reject) => {
    cloud.stdout.on('data', (text) => {
      output += text;
      if (output.includes('Try it')) resolve();
    });
    ended.then((code) => reject(new Error(`the local cloud ended with ${code}:\n${logs}`)));
  });
  const url = (label) => new URL(new RegExp(`${label} +(\\S+)`).exec(output)[1]);
  const graphql = url('GraphQL over HTTP'), control = url('control');
  return {
    page: graphql.origin,
    /** Where event streams are, if there are hosts. */
    streams: /event streams +(\S+)/.exec(output)?.[1],
    logs: () => logs,
    /** A token, with --auth jwt, for a viewer who may read and write the chats. */
    async token(viewer, name, chats, life = '1h') {
      const response = await fetch(new URL(`/token?${new URLSearchParams({ viewer, name, read: chats, write: chats, life })}`, url('tokens')));
      return response.text();
    },
    /** Addresses of the hosts that take sockets. */
    hosts: async () => (await fetch(new URL('/hosts', control))).json(),
    /** Breaks the cloud or mends it: /gateway/down, /gateway/up, /functions/NAME/kill, /hosts/ADDRESS/drain. */
    async put(path) {
      const { status } = await fetch(new URL(path, control), { method: 'PUT' });
      if (status !== 204) throw new Error(`PUT ${path}: ${status}`);
    },
    /** Writes messages one after the other. */
    async post(chatId, senderName, ...contents) {
      for (const content of contents) {
        const response = await fetch(graphql, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            query: 'mutation ($c: ID!, $t: String!, $s: String!) { postMessage(chatId: $c, content: $t, senderName: $s) { id } }',
            variables: { c: chatId, t: content, s: senderName },
          }),
        });
        const body = await response.json();
        if (body.errors) throw new Error(JSON.stringify(body.errors));
      }
    },
    async stop() {
      cloud.kill('SIGINT');
      await ended;
      rmSync(own, { recursive: true });
    },
  };
}
