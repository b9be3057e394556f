// Follows a subscription with resume.mjs:
//   node follow.mjs WS_URL DOCUMENT VARIABLES_JSON
// Prints one JSON line for each event, error and complete, and when standard input ends
// {"subscribes": n}: how often it was sent.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { resuming, settings } from '../../shared/js/resume.mjs';

const [url, query, variables] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

let subscribes = 0;
class Counting extends WebSocket {
  send(data, ...more) {
    if (JSON.parse(data).type === 'subscribe') subscribes++;
    return super.send(data, ...more);
  }
}
const client = resuming(createClient({ ...settings, url, webSocketImpl: Counting }));

client.subscribe(
  { query, variables: JSON.parse(variables) },
  { next: (result) => print({ next: result }), error: (error) => print({ error }), complete: () => print({ complete: true }) },
);
process.stdin.on('end', () => {
  print({ subscribes });
  process.exit();
}).resume();
