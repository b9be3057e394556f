/** A piece of a message: what to show, and how. */
export interface Piece {
  kind: 'text' | 'link' | 'code' | 'block';
  text: string;
}

// Code comes first, because an address inside it must not become a link. An address ends at
// a space, a quotation mark, an angle bracket, or a character that changes the writing
// direction and could disguise it.
const special = /```(?:\w*\n)?([^]+?)\n?```|`([^`\n]+)`|https?:\/\/[^\s<>"`\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;

/** Splits a message into text, code and links. Whatever looks like anything else is text. */
export function pieces(content: string): Piece[] {
  const all: Piece[] = [];
  const add = (kind: Piece['kind'], text: string) => {
    const last = all.at(-1);
    if (kind === 'text' && last?.kind === 'text') last.text += text;
    else if (text) all.push({ kind, text });
  };
  let end = 0;
  for (const match of content.matchAll(special)) {
    add('text', content.slice(end, match.index));
    end = match.index + match[0].length;
    const [whole, block, code] = match;
    if (block !== undefined) add('block', block);
    else if (code !== undefined) add('code', code);
    else {
      const address = withoutEnd(whole);
      add(isSafe(address) ? 'link' : 'text', address);
      add('text', whole.slice(address.length));
    }
  }
  add('text', content.slice(end));
  return all;
}

/** An address without the marks of the sentence around it. A bracket that it opens itself stays. */
function withoutEnd(address: string): string {
  const count = (mark: string) => address.split(mark).length - 1;
  const extra: Record<string, number> = { ')': count(')') - count('('), ']': count(']') - count('['), '}': count('}') - count('{') };
  let end = address.length;
  for (; end > 0; end--) {
    const last = address[end - 1]!;
    if (last in extra ? extra[last]!-- <= 0 : !/[.,:;!?'…’”»*_]/u.test(last)) break;
  }
  return address.slice(0, end);
}

/** Whether an address is one, and shows where it leads: user@ in front of the host hides it. */
function isSafe(address: string): boolean {
  try {
    const { protocol, username, password } = new URL(address);
    return /^https?:$/.test(protocol) && !username && !password;
  } catch {
    return false;
  }
}
