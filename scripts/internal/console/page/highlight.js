// Colours for GraphQL and JSON: each token is a text node in a span.

const words = 'subscription|mutation|query|fragment|on|true|false|null';
const tokens = new RegExp(
  [
    String.raw`(?<string>"(?:\\.|[^"\\])*"?)(?<colon>\s*:)?`,
    String.raw`(?<comment>#[^\n]*)`,
    String.raw`(?<variable>\$\w+)`,
    String.raw`\b(?<word>${words})\b`,
    String.raw`\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b`,
  ].join('|'),
  'g',
);

/** Shows code in a node. Nothing is done if it is what the node shows already. */
export function show(node, code) {
  if (node.textContent === code) return;
  node.textContent = '';
  let from = 0;
  for (const match of code.matchAll(tokens)) {
    const { string, colon } = match.groups;
    const token = string ?? match[0];
    const span = document.createElement('span');
    span.className = colon ? 'key' : (Object.keys(match.groups).find((name) => match.groups[name]) ?? 'number');
    span.textContent = token;
    node.append(code.slice(from, match.index), span);
    from = match.index + token.length;
  }
  node.append(code.slice(from));
}
