// The map: the parts of the pipeline, and lines that move while something flows.
import { attribute, h, hide, keyed, text } from './dom.js';
import { count, rate, took } from './format.js';
import { layout } from './layout.js';
import { lead } from './place.js';
import { isUnread } from './stack.js';

const svg = 'http://www.w3.org/2000/svg';
const size = { box: 46, row: 54, top: 24, side: 16, gap: 30, least: 1080 }; // px

/** What a box says in its second line. */
const says = {
  clients: (b, open) => [open == null ? '' : `${count(open)} open`],
  gateway: (b) => [`in ${rate(b.rate)}/s`, `out ${rate(b.out)}/s`],
  function: (b) => [`${rate(b.rate)}/s`, b.busy ? `${b.busy} busy` : `${b.warm} warm`],
  table: (b) => [`${rate(b.rate)}/s`],
  queue: (b) => [`depth ${count(b.depth)}`, b.inFlight ? `in flight ${count(b.inFlight)}` : `${rate(b.rate)}/s`],
};

const trouble = (b) =>
  ['refused', 'gone', 'failed', 'dead']
    .filter((what) => b[what])
    .map((what) => `${count(b[what])} ${what}`)
    .join(' · ');

const marks = { function: 'ƒ', table: '▤', queue: '☰' };
const times = { function: 'Half of the invocations took no longer', table: 'From the write to its reader' };

/** Where a click leads. */
function leads(b, part) {
  if (b.kind === 'clients' || b.kind === 'gateway') return { view: 'connections', part: null };
  if (b.kind === 'queue') return { view: 'queues', queue: b.names[0], part: null };
  return { view: null, part: part === b.names.join(' ') ? null : b.names.join(' ') };
}

export function map(root) {
  const drawing = document.createElementNS(svg, 'svg'),
    stage = h('div');
  attribute(drawing, 'aria-hidden', 'true');
  const canvas = h('div', { class: 'canvas' }, drawing, stage);
  root.append(canvas);
  let shape,
    plan,
    paths = [];

  const update = keyed(stage, () => {
    const title = h('b'),
      mark = h('span', { class: 'mark' });
    const figures = h('span', { class: 'figures' }),
      time = h('span', { class: 'mark' }),
      bad = h('em');
    const [first, second] = [
      [title, mark],
      [figures, time],
    ].map((both) => h('span', { class: 'pair' }, ...both));
    const node = h('a', { class: 'node' }, first, second, bad);
    return {
      node,
      update({ b, open, down, part }) {
        const said = trouble(b),
          ms = b.kind === 'table' ? b.lag : b.p50;
        node.title = b.names.join(', ');
        node.dataset.key = b.key;
        text(title, b.names.length > 2 ? `${b.names[0]} +${b.names.length - 1}` : b.names.join(' '));
        text(mark, marks[b.kind] ?? '');
        text(figures, says[b.kind](b, open).join(' · '));
        text(time, ms ? took(ms) : '');
        attribute(time, 'title', times[b.kind]);
        text(bad, said);
        hide(bad, !said);
        const looks = {
          alive: b.rate || b.out,
          waits: said || (b.kind === 'queue' && b.depth),
          down: down && b.kind === 'gateway',
        };
        node.className = ['node', ...Object.keys(looks).filter((look) => looks[look])].join(' ');
        attribute(node, 'aria-current', part === b.names.join(' ') ? 'true' : null);
        lead(node, leads(b, part));
      },
    };
  });

  /** Puts the boxes and draws the lines: when the parts or the width have changed. */
  const draw = () => {
    const width = Math.max(root.clientWidth, size.least);
    const rows = plan.boxes.map((b) => b.row),
      above = Math.min(...rows);
    const step = (width - 2 * size.side + size.gap) / (Math.max(...plan.boxes.map((b) => b.column)) + 1);
    const place = (b) => {
      const x = size.side + b.column * step,
        y = size.top + (b.row - above) * size.row;
      return {
        x,
        y,
        width: step - size.gap,
        right: x + step - size.gap,
        mid: y + size.box / 2,
        centre: x + (step - size.gap) / 2,
      };
    };
    const height = size.top + (Math.max(...rows) - above + 1) * size.row - 4;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    attribute(drawing, 'viewBox', `0 0 ${width} ${height}`);
    for (const b of plan.boxes) {
      const node = stage.querySelector(`[data-key="${b.key}"]`),
        at = place(b);
      node.style.transform = `translate(${at.x}px, ${at.mid}px) translateY(-50%)`;
      node.style.width = `${at.width}px`;
    }
    drawing.replaceChildren();
    paths = plan.lines.map(({ from, to, way }) => {
      const a = place(from),
        b = place(to),
        turn = b.x - size.gap / 2;
      const d = {
        on: `M${a.right} ${a.mid}H${turn}V${b.mid}H${b.x}`,
        aside: `M${a.right} ${a.mid}H${b.centre}V${b.y + size.box}`,
        back: `M${a.centre} ${a.y}V10H${b.centre}V${b.y}`,
      }[way];
      const path = (look) => {
        const node = document.createElementNS(svg, 'path');
        attribute(node, 'd', d);
        attribute(node, 'class', look);
        drawing.append(node);
        return node;
      };
      return { from: from.key, to: to.key, way, line: path('line'), dots: path('dots') };
    });
  };

  const flow = () => {
    const boxes = new Map(plan.boxes.map((b) => [b.key, b]));
    for (const { from, to, way, line, dots } of paths) {
      const a = boxes.get(from),
        b = boxes.get(to);
      const through = way === 'back' ? Math.min(a.rate, b.out) : way === 'aside' || !b.rate ? a.rate : b.rate;
      const moves = way === 'on' && a.kind !== 'clients' ? a.rate && b.rate : through;
      attribute(line, 'class', moves ? 'line alive' : 'line');
      hide(dots, !moves);
      attribute(dots, 'data-speed', through > 20 ? 'fast' : null);
    }
  };

  new ResizeObserver(() => plan && draw()).observe(root);
  return (state, { part }) => {
    if (!state.nodes.length) return;
    plan = layout(state.nodes);
    update(
      plan.boxes.map(({ nodes, ...b }) => ({ b, open: isUnread(state) ? null : state.open, down: state.down, part })),
      ({ b }) => b.key,
    );
    const now = plan.boxes.map((b) => b.key).join();
    if (now !== shape) draw();
    shape = now;
    flow();
  };
}
