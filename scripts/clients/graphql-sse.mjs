// Runs an operation with the npm client graphql-sse and its default settings, each request
// a stream of its own ("distinct connections mode"):
//   node graphql-sse.mjs URL DOCUMENT VARIABLES_JSON [TOKEN]
// Prints one JSON line for each event: {"connected": true}, {"next": ...}, {"error": ...},
// {"complete": true}. When standard input ends, it completes the operation and exits.
import { createClient } from 'graphql-sse';

const [url, query, variables, token] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const client = createClient({
  url,
  headers: token ? { authorization: `Bearer ${token}` } : {},
  on: { connected: () => print({ connected: true }) },
  retry: () => new Promise((resolve) => setTimeout(resolve, 200)), // a test does not wait for seconds
});
const unsubscribe = client.subscribe(
  { query, variables: JSON.parse(variables) },
  {
    next: (result) => print({ next: result }),
    error: (error) => print({ error: error.response ? { status: error.response.status } : { message: error.message } }),
    complete: () => print({ complete: true }),
  },
);

process.stdin.resume();
process.stdin.on('end', () => {
  unsubscribe();
  client.dispose();
});
