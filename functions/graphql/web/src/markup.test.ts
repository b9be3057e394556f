import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pieces } from './markup.ts';

/** A message's pieces as one line: <link>, [code], {block}. */
const shown = (content: string) => pieces(content).map(({ kind, text }) =>
  ({ text, link: `<${text}>`, code: `[${text}]`, block: `{${text}}` })[kind]).join('');

test('addresses of the web are links, without the marks of their sentence', () => {
  for (const [content, want] of [
    ['see https://a.example/x?y=1#z.', 'see <https://a.example/x?y=1#z>.'],
    ['(http://a.example/b_(c)), or HTTPS://A.EXAMPLE!', '(<http://a.example/b_(c)>), or <HTTPS://A.EXAMPLE>!'],
    ['“https://a.example”', '“<https://a.example>”'],
    ['https://ä.example/ü https://b.example', '<https://ä.example/ü> <https://b.example>'],
    ['https://a.example/🦊', '<https://a.example/🦊>'],
  ]) assert.equal(shown(content!), want);
});

test('nothing else is a link', () => {
  for (const text of ['javascript:alert(1)', 'data:text/html,x', 'ftp://a.example', '//a.example', 'http://', 'https://:80', 'https://...',
    'https://bank.example@evil.example/', 'https://u:p@evil.example', 'www.example.org', '<b>bold</b>', '']) assert.equal(shown(text), text);
  assert.equal(shown('javascript:https://a.example'), 'javascript:<https://a.example>');
});

test('an address ends where the direction of writing is turned', () => {
  assert.equal(shown('https://a.example/\u202egpj.exe'), '<https://a.example/>\u202egpj.exe');
});

test('code is shown as it is', () => {
  for (const [content, want] of [
    ['call `f(x)` twice', 'call [f(x)] twice'],
    ['`https://a.example`', '[https://a.example]'],
    ['```js\nlet a;\nlet b;\n```\nso', '{let a;\nlet b;}\nso'],
    ['```x```', '{x}'],
    ['a ` b', 'a ` b'], ['``', '``'], ['``````', '``````'], ['`a\nb`', '`a\nb`'],
  ]) assert.equal(shown(content!), want);
});

test('no text is lost, and long messages are split in time', { timeout: 10_000 }, () => {
  for (const unit of ['`', '```', 'http://', 'https://a.example)', '(', 'https://(((']) {
    const long = unit.repeat(8192 / unit.length);
    assert.equal(pieces(long).map((p) => p.text).join('').replaceAll('`', ''), long.replaceAll('`', ''));
  }
});
